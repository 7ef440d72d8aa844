{{- define "kis-bond.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* At most 40 characters, so that job names and the pods' controller-revision labels stay below Kubernetes' 63. */}}
{{- define "kis-bond.fullname" -}}
{{- $name := include "kis-bond.name" . -}}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{ .Values.fullnameOverride | default $full | trunc 40 | trimSuffix "-" }}
{{- end -}}

{{/* Selects the release's pods of any component. Quoted, like each name alone: a release may be called 2024, or true. */}}
{{- define "kis-bond.selector" -}}
app.kubernetes.io/name: {{ include "kis-bond.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* Labels of an object. Takes a list: the root context and the object's own labels. Each key appears once. */}}
{{- define "kis-bond.labels" -}}
{{- $root := index . 0 -}}
{{- $standard := dict
      "app.kubernetes.io/version" $root.Chart.AppVersion
      "app.kubernetes.io/managed-by" $root.Release.Service
      "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_") -}}
{{ toYaml (merge (include "kis-bond.selector" $root | fromYaml) $standard (deepCopy (index . 1 | default dict)) ($root.Values.commonLabels | default dict)) }}
{{- end -}}

{{/* Labels of a pod. Takes the root context, the component and more labels. No versions: a new chart alone must roll no pod. */}}
{{- define "kis-bond.podLabels" -}}
{{- $root := index . 0 -}}
{{- $component := dict "app.kubernetes.io/component" (index . 1) -}}
{{ toYaml (merge (include "kis-bond.selector" $root | fromYaml) $component (deepCopy (index . 2 | default dict)) ($root.Values.commonLabels | default dict)) }}
{{- end -}}

{{/* Takes a list: the chart's annotations, which win, and those of the values. Each key appears once. */}}
{{- define "kis-bond.annotations" -}}
{{ toYaml (merge (index . 0) (deepCopy (index . 1 | default dict))) }}
{{- end -}}

{{- define "kis-bond.image" -}}
{{- $registry := .Values.global.imageRegistry | default .Values.image.registry -}}
{{- with .Values.image -}}
{{ with $registry }}{{ trimSuffix "/" . }}/{{ end }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{- define "kis-bond.appKeysSecret" -}}
{{ .Values.appKeys.existingSecret | default (printf "%s-app-keys" (include "kis-bond.fullname" .)) }}
{{- end -}}

{{/* The service account of all pods but those that make topics. Empty: the namespace's default. */}}
{{- define "kis-bond.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "kis-bond.fullname" .) "") -}}
{{- end -}}
