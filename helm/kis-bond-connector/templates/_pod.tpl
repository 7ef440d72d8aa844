{{/* What the pods of all components have in common: takes the root context. */}}
{{- define "kis-bond.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.serviceAccountName }}
serviceAccountName: {{ . | quote }}
{{- end }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
tolerations:
  {{- range list "not-ready" "unreachable" }}
  - key: node.kubernetes.io/{{ . }}
    operator: Exists
    effect: NoExecute
    tolerationSeconds: {{ int64 $.Values.unreachableSeconds }}
  {{- end }}
  {{- with .Values.tolerations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* What all containers have in common: takes the root context. */}}
{{- define "kis-bond.container" -}}
image: {{ include "kis-bond.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
command: [kis-bond]
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
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
    value: {{ .Values.config.http.host | quote }}
  - name: KIS_BOND_JOURNAL__PATH
    value: /var/lib/kis-bond/journal/journal
  # The image's own folder for the bond master is not mounted. Only the connector's pods mount this
  # one; the jobs only look for it.
  - name: XDG_CACHE_HOME
    value: /var/lib/kis-bond/.cache
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
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
