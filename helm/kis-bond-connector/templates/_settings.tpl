{{/* The folder of the journal, made by the connector itself with 0700 inside the volume, whose own root the group may enter. */}}
{{- define "kis-bond.settings" -}}
{{- $ours := dict
      "kis" (dict "credentials_dir" "/etc/kis-bond/app-keys")
      "journal" (dict "path" "/var/lib/kis-bond/journal/journal.db") -}}
{{ toYaml (mergeOverwrite (deepCopy .Values.config) $ours) }}
{{- end -}}
