{{/* Bytes of a size as the settings write it (1GiB, 512 MiB, a number) or as Kubernetes does (2Gi, 2.5Gi, 500M). */}}
{{- define "kis-bond.bytes" -}}
{{- $units := dict "" 1 "B" 1
      "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776
      "KiB" 1024 "MiB" 1048576 "GiB" 1073741824 "TiB" 1099511627776
      "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 -}}
{{- if kindIs "string" . -}}
{{- $number := regexFind "[0-9.]+" . -}}
{{- $unit := get $units (regexFind "[A-Za-z]+" .) | int64 -}}
{{- if contains "." $number -}}
{{- mulf $number $unit | ceil | int64 -}}
{{- else -}}
{{- mul (int64 $number) $unit -}}
{{- end -}}
{{- else -}}
{{- int64 . -}}
{{- end -}}
{{- end -}}

{{/* The port of a URL, as text. */}}
{{- define "kis-bond.port" -}}
{{- $url := urlParse . -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (has $url.scheme (list "https" "wss") | ternary "443" "80") -}}
{{- end -}}

{{/* Seconds between SIGTERM and the kill. */}}
{{- define "kis-bond.grace" -}}
{{- $deadline := ceil .Values.config.delivery.stop_deadline_seconds | int64 -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- add $deadline 25 -}}
{{- else -}}
{{- int64 .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}
