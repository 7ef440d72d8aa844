{{/* The settings file. The journal's path is in the environment (_pod.tpl). */}}
{{- define "kis-bond.settings" -}}
{{ toYaml (mergeOverwrite (deepCopy .Values.config) (dict "kis" (dict "credentials_dir" "/etc/kis-bond/app-keys"))) }}
{{- end -}}
