import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

/* The files that an operator gives to Prometheus and Grafana. */

const root = join(import.meta.dirname, '../..');
const dashboards = join(root, 'deploy/grafana/dashboards');

export const rulesFile = join(root, 'deploy/prometheus/rules.yaml');

export type Rule = {
  record?: string;
  alert?: string;
  expr: string;
  annotations?: Record<string, string>;
};

export const readRules = (): Rule[] =>
  (parse(readFileSync(rulesFile, 'utf8')) as { groups: { rules: Rule[] }[] }).groups.flatMap(
    ({ rules }) => rules,
  );

type Dashboard = { uid: string; panels: { title: string; targets: { expr: string }[] }[] };

export const readDashboards = (): Dashboard[] =>
  readdirSync(dashboards).map(
    (name) => JSON.parse(readFileSync(join(dashboards, name), 'utf8')) as Dashboard,
  );

/** The expressions of all rules and panels. */
export const expressions = (): string[] => [
  ...readRules().map(({ expr }) => expr),
  ...readDashboards().flatMap(({ panels }) =>
    panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
  ),
];
