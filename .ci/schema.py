"""Holds the dashboards' JSON against the types of Grafana's own front end, `@grafana/schema`, under `tsc`.

    python3 .ci/schema.py [--packages DIRECTORY]

Needs node and npm; two packages of fixed versions are fetched into a temporary directory, unless one that has them is
given. Each file becomes a TypeScript literal that must satisfy `Dashboard`, its panels' options and custom field settings
those of their kind. String enums are loosened to their values, since JSON has no enums; keys that nobody knows are errors.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

from dashboards import DASHBOARDS

PACKAGES = ["@grafana/schema@13.2.2", "typescript@6.0.3"]
HEAD = """
import type { Dashboard, Panel, RowPanel, AnnotationQuery, VariableModel, GraphFieldConfig, TableFieldOptions } from '@grafana/schema';
import type { Options as Stat } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type { Options as TimeSeries } from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import type { Options as Table } from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';

type Loose<T> = T extends string ? `${T}` : T extends readonly (infer U)[] ? Loose<U>[] : T extends object ? { [K in keyof T]: Loose<T[K]> } : T;
// What the Prometheus data source adds to a query and to an annotation.
type Query = { refId: string; datasource: { type: 'prometheus'; uid: string }; expr: string; legendFormat: string; instant: boolean; range: boolean; format?: 'table' };
type Note = Loose<AnnotationQuery> & { expr: string; step: string; titleFormat: string; textFormat: string; tagKeys: string; useValueForTime: boolean };
type Defaults = NonNullable<Panel['fieldConfig']>['defaults'];
type Drawn<Kind extends string, Options, Custom> = Omit<Loose<Panel>, 'type' | 'options' | 'targets' | 'fieldConfig'> & {
  type: Kind; options: Loose<Partial<Options>>; targets: Query[];
  fieldConfig: { defaults: Omit<Loose<Defaults>, 'custom'> & { custom?: Loose<Partial<Custom>> }; overrides: { matcher: { id: string; options?: unknown }; properties: { id: string; value?: unknown }[] }[] };
};
type Ours = Omit<Loose<Dashboard>, 'panels' | 'annotations' | 'templating'> & {
  templating: { list: (Loose<VariableModel> & { definition?: string })[] };
  annotations: { list: Note[] };
  panels: (Loose<RowPanel> | Drawn<'stat', Stat, {}> | Drawn<'timeseries', TimeSeries, GraphFieldConfig> | Drawn<'table', Table, TableFieldOptions>)[];
};
"""


def check(directory, text):
    """What tsc says of one dashboard; empty where all is well."""
    (directory / "check.ts").write_text(f"{HEAD}\nexport const dashboard = {text.strip()} satisfies Ours;\n")
    command = ["node_modules/.bin/tsc", "--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--moduleResolution", "nodenext", "--target", "es2022", "check.ts"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--packages", type=pathlib.Path, help="a directory with node_modules")
    packages = parser.parse_args().packages
    with tempfile.TemporaryDirectory(prefix="leakwatch-schema-") as name:
        directory = pathlib.Path(name)
        (directory / "package.json").write_text('{"private": true, "type": "module"}')
        if packages:
            (directory / "node_modules").symlink_to(packages.resolve() / "node_modules")
        else:
            subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent", "--ignore-scripts", *PACKAGES], cwd=directory, check=True)
        wrong = 0
        for path in DASHBOARDS:
            said = check(directory, path.read_text())
            wrong += bool(said)
            print(f"{path.name}: {said[:3000] if said else 'satisfies @grafana/schema'}")
        # A check that finds nothing in a broken file guards nothing.
        sound = DASHBOARDS[0].read_text()
        for find, replace in [('"schemaVersion": 42', '"schemaVersion": "42"'), ('"noValue"', '"novalue"'), ('"colorMode": "background"', '"colorMode": "backdrop"'),
                              ('"lineInterpolation": "linear"', '"lineInterpolation": "bent"')]:
            if find not in sound:
                sys.exit(f"{DASHBOARDS[0].name}: no {find} to be broken")
            if not check(directory, sound.replace(find, replace)):
                sys.exit(f"tsc does not see {find} changed to {replace}")
        print("and tsc sees what is broken on purpose")
        if wrong:
            sys.exit(1)


if __name__ == "__main__":
    main()
