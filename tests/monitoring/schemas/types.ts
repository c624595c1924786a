// What the dashboard and the manifests have to be, in the types that Grafana and the Prometheus operator publish.
import type { Dashboard, FieldConfigSource, Panel, RowPanel } from '@grafana/schema';
import type {
  FieldConfig as HeatmapField,
  Options as HeatmapOptions,
} from './node_modules/@grafana/schema/dist/types/raw/composable/heatmap/panelcfg/x/types.gen';
import type { Options as StatOptions } from './node_modules/@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen';
import type {
  FieldConfig as GraphField,
  Options as GraphOptions,
} from './node_modules/@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen';
export type { IPodMonitor as PodMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor';
export type { IPrometheusRule as PrometheusRule } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule';
export type { IServiceMonitor as ServiceMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor';

// A query of a Prometheus data source; @grafana/schema leaves queries to the data sources.
interface Query {
  refId: string;
  expr: string;
  legendFormat?: string;
  format?: 'time_series' | 'table' | 'heatmap';
  instant?: boolean;
  range?: boolean;
  editorMode?: 'code' | 'builder';
  datasource?: { type?: string; uid?: string };
}
type Of<Type extends string, Options, Field> = Omit<Panel, 'type' | 'options' | 'fieldConfig' | 'targets'> & {
  type: Type;
  options: Options;
  fieldConfig: FieldConfigSource<Field>;
  targets: Query[];
};
export type TimeseriesPanel = Of<'timeseries', GraphOptions, GraphField>;
export type StatPanel = Of<'stat', StatOptions, {}>;
export type HeatmapPanel = Of<'heatmap', HeatmapOptions, HeatmapField>;
export type Row = Omit<RowPanel, 'panels'> & { panels: object[] };
export type GrafanaDashboard = Omit<Dashboard, 'panels'> & { panels: object[] };
