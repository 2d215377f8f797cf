/**
 * The configuration: flags, environment and config file, read at the start of a process and when the file changes.
 * The parts are in config/: `settings.ts` is the one table of defaults, `schema.ts` the form of the
 * file, `rules.ts` rules between fields, `load.ts` the precedence of flags, variables and file, `reload.ts` which fields a
 * running process takes over.
 */
export { builtInProviders } from './config/simulated-providers.ts';
export { createConfigCheck, type Checked, type TextsInUse } from './config/check.ts';
export { loadConfig, loadConfigOrExit, type Loaded } from './config/load.ts';
export type { Finding } from './config/read-file.ts';
export {
  keySettingNames,
  readKeySettings,
  type FieldError,
  type ReadSettings,
} from './config/key-settings.ts';
export { settings, type Setting } from './config/setting-defaults.ts';
export { parseBytes, parseDuration } from './config/units.ts';
export {
  ConfigError,
  HelpRequested,
  type BreakerConfig,
  type CheckConfig,
  type Config,
  type KeyConfig,
  type KeySettings,
  type ModelConfig,
  type PoolConfig,
  type ProcessLimits,
  type ProviderConfig,
  type Role,
  type StartOptions,
  type TargetConfig,
  type TlsConfig,
} from './config/types.ts';
