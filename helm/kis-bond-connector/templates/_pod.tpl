{{/* What the pods of all components have in common. Takes a list: the root context and the service account, or "". */}}
{{- define "kis-bond.pod" -}}
{{- $root := index . 0 -}}
{{- $values := $root.Values -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with index . 1 }}
serviceAccountName: {{ . | quote }}
{{- end }}
{{- if or $values.image.pullSecrets $values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range $values.global.imagePullSecrets }}
  - name: {{ kindIs "map" . | ternary (get (kindIs "map" . | ternary . dict) "name") . | quote }}
  {{- end }}
  {{- with $values.image.pullSecrets }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
securityContext:
  {{- toYaml $values.podSecurityContext | nindent 2 }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with $values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
tolerations:
  {{- range list "not-ready" "unreachable" }}
  - key: node.kubernetes.io/{{ . }}
    operator: Exists
    effect: NoExecute
    tolerationSeconds: {{ int64 $values.unreachableSeconds }}
  {{- end }}
  {{- with $values.tolerations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $values.initContainers }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What all containers have in common. Takes a list: the root context and the resources. */}}
{{- define "kis-bond.container" -}}
{{- $root := index . 0 -}}
{{- $values := $root.Values -}}
image: {{ include "kis-bond.image" $root | quote }}
imagePullPolicy: {{ $values.image.pullPolicy }}
command: [kis-bond]
securityContext:
  {{- toYaml $values.securityContext | nindent 2 }}
resources:
  {{- toYaml (index . 1) | nindent 2 }}
{{- with $values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
env:
  - name: KIS_BOND_CONFIG
    value: /etc/kis-bond/config/kis-bond.yaml
  # The owner shown in slot records: the pod's name.
  - name: KIS_BOND_REPLICAS__NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  # The image's environment sets an address and a journal, and would win over the settings file.
  # The group may enter the volume's root, so the journal lies in a private folder below it. An
  # earlier kind of journal, a file of this name with .db, is imported at the first start.
  - name: KIS_BOND_HTTP__HOST
    value: {{ $values.config.http.host | quote }}
  - name: KIS_BOND_JOURNAL__PATH
    value: /var/lib/kis-bond/journal/journal
  {{- $named := list }}
  {{- range $values.extraEnv }}
  {{- $named = append $named .name }}
  {{- end }}
  {{- if not (has "XDG_CACHE_HOME" $named) }}
  # The image's own folder for the bond master is not mounted. Only the connector's pods mount this
  # one; the jobs only look for it.
  - name: XDG_CACHE_HOME
    value: /var/lib/kis-bond/.cache
  {{- end }}
  {{- with $values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Resources of the jobs' containers. */}}
{{- define "kis-bond.jobResources" -}}
{{- toYaml (.Values.jobs.resources | default .Values.resources) -}}
{{- end -}}

{{/* The jobs' Kafka settings, as variables, which win over the settings file. A mechanism of the jobs' own
empties the settings of another one, and a secret or key of their own that of the pods' client, which the
connector would refuse beside it. */}}
{{- define "kis-bond.jobEnv" -}}
{{- $own := .Values.jobs.kafka | default dict }}
{{- $used := dict "OAUTHBEARER" "oauth_" "GSSAPI" "gssapi_" | dig (get $own "sasl_mechanism") "sasl_" }}
{{- $emptied := dict }}
{{- if hasKey $own "sasl_mechanism" }}
{{- range $name, $_ := .Values.config.kafka }}
{{- if and (regexMatch "^(oauth_|gssapi_[pk]|sasl_[up])" $name) (not (hasPrefix $used $name)) }}
{{- $_ := set $emptied $name (eq $name "oauth_provider" | ternary "oidc" "") }}
{{- end }}
{{- end }}
{{- end }}
{{- $proofs := dict "oauth_client_secret_file" "^oauth_(client_key|assertion)_" "oauth_client_key_file" "^oauth_client_(secret_|key_id)" }}
{{- range $proof, $others := $proofs }}
{{- if hasKey $own $proof }}
{{- range $name, $_ := $.Values.config.kafka }}
{{- if regexMatch $others $name }}
{{- $_ := set $emptied $name "" }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $value := merge (deepCopy $own) $emptied }}
- name: KIS_BOND_KAFKA__{{ upper $name }}
  {{- if kindIs "map" $value }}
  {{- $pairs := list }}
  {{- range $key, $text := $value }}
  {{- $pairs = append $pairs (printf "%s=%s" $key $text) }}
  {{- end }}
  value: {{ join "," $pairs | quote }}
  {{- else }}
  value: {{ $value | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* How a job fails: at once if its command can never succeed (exit 1: a bug, 2: a wrong setting or list). */}}
{{- define "kis-bond.jobEnd" -}}
backoffLimit: 3
activeDeadlineSeconds: 300
podFailurePolicy:
  rules:
    - action: FailJob
      onExitCodes:
        containerName: {{ . }}
        operator: In
        values: [1, 2]
{{- end -}}

{{/* Mounts and volumes of all containers: settings, a small /tmp, and the extra ones. */}}
{{- define "kis-bond.mounts" -}}
- name: config
  mountPath: /etc/kis-bond/config
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Takes a list: the root context and the name of the ConfigMap with the settings. */}}
{{- define "kis-bond.volumes" -}}
{{- $root := index . 0 -}}
- name: config
  configMap:
    name: {{ index . 1 | quote }}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- with $root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* App keys are a folder, without subPath, so that a rotated Secret is seen. */}}
{{- define "kis-bond.appKeysMount" -}}
- name: app-keys
  mountPath: /etc/kis-bond/app-keys
  readOnly: true
{{- end -}}

{{- define "kis-bond.appKeysVolume" -}}
- name: app-keys
  secret:
    secretName: {{ include "kis-bond.appKeysSecret" . | quote }}
    defaultMode: 0440
{{- end -}}
