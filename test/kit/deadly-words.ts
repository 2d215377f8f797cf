/** Words in the text of a request, for a worker that was started with `deadly-input.ts`. */
export const blocks = 'BLOCKS ITS WORKER';
export const kills = 'KILLS ITS WORKER';
