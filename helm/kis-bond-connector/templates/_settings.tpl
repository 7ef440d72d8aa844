{{/* The settings file. The journal's path is in the environment (_pod.tpl). */}}
{{- define "kis-bond.settings" -}}
{{- $own := dict "kis" (dict "credentials_dir" "/etc/kis-bond/app-keys") -}}
{{- if and (eq .Values.journal.volume "emptyDir") (not (hasKey .Values.config.delivery "stop_silence_seconds")) -}}
{{- /* The journal is lost with the pod, so a stop waits for silent brokers as long as it can. */ -}}
{{- $_ := set $own "delivery" (dict "stop_silence_seconds" .Values.config.delivery.stop_deadline_seconds) -}}
{{- end -}}
{{ toYaml (mergeOverwrite (deepCopy .Values.config) $own) }}
{{- end -}}
