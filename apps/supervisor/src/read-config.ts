import { loadConfigOrExit } from '@millrace/shared/config';
import { answer } from './short-lived-answer.ts';
import { toStartSettings } from './start-settings.ts';

/* A short-lived program: checks the whole configuration, and returns the part that a start needs. */

const { config, options } = loadConfigOrExit({
  argv: process.argv.slice(2),
  env: process.env,
  role: 'start',
});
answer(toStartSettings(config, options));
