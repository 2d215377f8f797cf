/** A simulated provider that identifies itself as such and misbehaves on request. */
export { startSimulator } from './server.ts';
export type { Simulator, SimulatorOptions } from './server.ts';
export type { LoggedRequest, RequestEvents, RequestState, WaitOptions } from './request-log.ts';
export {
  bigText,
  EXPECTED_REFUSAL,
  expectedArguments,
  expectedReasoning,
  expectedText,
  expectedTokens,
  tokenAt,
} from './text.ts';
export type { TextStyle } from './text.ts';
export { expectedEmbedding } from './openai-pass-through/formats.ts';
export { expectedSpeech } from './openai-pass-through/media.ts';
export { parseModelName } from './model-name.ts';
export type { ParsedModel } from './model-name.ts';
export { BEHAVIOURS } from './catalogue.ts';
export { KEYS } from './keys.ts';
