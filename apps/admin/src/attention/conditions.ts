import { byUrgency } from './condition.ts';
import type { Condition } from './condition.ts';
import type { FleetState } from './fleet-state.ts';
import { configConditions, processConditions } from './process-conditions.ts';
import {
  budgetConditions,
  ledgerConditions,
  memoryConditions,
  webhookConditions,
} from './store-conditions.ts';
import {
  failureConditions,
  poolConditions,
  queueConditions,
  upstreamConditions,
} from './work-conditions.ts';

/** What an operator of a fleet in this state has to look at, worst first. */
export const conditionsOf = (state: FleetState): Condition[] =>
  [
    processConditions,
    configConditions,
    queueConditions,
    upstreamConditions,
    poolConditions,
    failureConditions,
    ledgerConditions,
    memoryConditions,
    webhookConditions,
    budgetConditions,
  ]
    .flatMap((conditions) => conditions(state))
    .sort(byUrgency);
