import manifest from '../../package.json' with { type: 'json' };

/** The version of Millrace that this process runs. */
export const { version } = manifest;
