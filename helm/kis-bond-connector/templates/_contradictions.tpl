{{/* Refuses values that contradict each other, and reports all of them at once. */}}
{{- define "kis-bond.refuseContradictions" -}}
{{- $wrong := list -}}
{{- $v := .Values -}}
{{- $grace := include "kis-bond.grace" . | int64 -}}
{{- $deadline := ceil $v.config.delivery.stop_deadline_seconds | int64 -}}
{{- $bound := include "kis-bond.bytes" $v.config.journal.max_bytes | int64 -}}
{{- $onClaim := eq $v.journal.volume "claim" -}}
{{- $sizeName := $onClaim | ternary "journal.claim.size" "journal.emptyDir.sizeLimit" -}}
{{- $size := $onClaim | ternary $v.journal.claim.size $v.journal.emptyDir.sizeLimit -}}

{{- $fullname := include "kis-bond.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $fullname) -}}
{{- $wrong = append $wrong (printf "fullnameOverride: the release's objects would be called %s, which Kubernetes refuses: give a name of small letters, digits and hyphens that begins with a letter" $fullname) -}}
{{- end -}}

{{- if not $v.image.repository -}}
{{- $wrong = append $wrong "image.repository: is needed: give the repository that you pushed the image to, such as registry.example.com/markets/kis-bond-connector" -}}
{{- end -}}

{{- if and (gt (int64 $v.replicas) 1) (ne $v.config.replicas.coordination "group") -}}
{{- $wrong = append $wrong (printf "replicas: %d pods would open the same app keys, and KIS allows one session for each: set config.replicas.coordination to group, or replicas to 1" (int64 $v.replicas)) -}}
{{- end -}}

{{- /* What runs is known to `helm upgrade` alone: `helm template` and Argo CD look nothing up. */ -}}
{{- $running := lookup "apps/v1" "StatefulSet" .Release.Namespace $fullname -}}
{{- $settings := lookup "v1" "ConfigMap" .Release.Namespace $fullname -}}
{{- if and $running $settings -}}
{{- $was := dig "replicas" "coordination" "standalone" (dig "data" "kis-bond.yaml" "" $settings | fromYaml) -}}
{{- $now := $v.config.replicas.coordination -}}
{{- $pods := max (dig "spec" "replicas" 1 $running | int64) (dig "status" "replicas" 0 $running | int64) (int64 $v.replicas) -}}
{{- if and (ne $was $now) (gt $pods 1) -}}
{{- $steps := eq $now "group" | ternary "first set it with replicas 1, then set replicas" "first set replicas 1, and change it once the other pods are gone" -}}
{{- $wrong = append $wrong (printf "config.replicas.coordination: %s becomes %s with up to %d pods, and two of them would open the same app keys: make two upgrades: %s" $was $now $pods $steps) -}}
{{- end -}}
{{- end -}}

{{- if not (dig "kafka" "bootstrap_servers" "" $v.config) -}}
{{- $wrong = append $wrong "config.kafka.bootstrap_servers: is needed: give host:port, several joined by commas" -}}
{{- end -}}

{{- if and $v.appKeys.existingSecret $v.appKeys.inline -}}
{{- $wrong = append $wrong "appKeys: existingSecret and inline were both given: keep one of the two" -}}
{{- else if not (or $v.appKeys.existingSecret $v.appKeys.inline) -}}
{{- $wrong = append $wrong "appKeys: no app key was given: set existingSecret to the name of a Secret with appkey-0 and appsecret-0, or give a pair in inline for a first try" -}}
{{- end -}}

{{- if not $size -}}
{{- $wrong = append $wrong (printf "%s: is needed with journal.volume: %s: give at least 1.1 times config.journal.max_bytes" $sizeName $v.journal.volume) -}}
{{- else if lt (mul 10 (include "kis-bond.bytes" $size | int64)) (mul 11 $bound) -}}
{{- $wrong = append $wrong (printf "%s: %s is less than 1.1 times config.journal.max_bytes (%s), and the volume would be full before the journal is: raise it, or lower config.journal.max_bytes" $sizeName $size (kindIs "string" $v.config.journal.max_bytes | ternary $v.config.journal.max_bytes (printf "%d bytes" $bound))) -}}
{{- end -}}

{{- if lt $grace (add $deadline 15) -}}
{{- $wrong = append $wrong (printf "terminationGracePeriodSeconds: %d is too short for config.delivery.stop_deadline_seconds, %d: give at least %d, or leave it empty" $grace $deadline (add $deadline 15)) -}}
{{- end -}}

{{- if or (has $v.config.http.host (list "localhost" "::1")) (hasPrefix "127." $v.config.http.host) -}}
{{- $wrong = append $wrong (printf "config.http.host: probes come from outside the pod and cannot reach %s: set 0.0.0.0 or ::" $v.config.http.host) -}}
{{- end -}}

{{- if and $v.serviceMonitor.enabled $v.podMonitor.enabled -}}
{{- $wrong = append $wrong "serviceMonitor and podMonitor: both are enabled, and every sample would be scraped twice: keep one of the two" -}}
{{- end -}}
{{- if and $v.serviceMonitor.enabled (not $v.service.enabled) -}}
{{- $wrong = append $wrong "serviceMonitor: finds its targets through the Service, which is off: set service.enabled, or use podMonitor" -}}
{{- end -}}

{{- if and $v.networkPolicy.enabled (or $v.serviceMonitor.enabled $v.podMonitor.enabled) (not (or $v.networkPolicy.metricsFrom $v.networkPolicy.extraIngress)) -}}
{{- $wrong = append $wrong "networkPolicy.metricsFrom: names nobody, so Prometheus could not read the metrics: name its namespace, such as [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]" -}}
{{- end -}}

{{- range $name, $list := $v.subscriptions.lists -}}
{{- if not (or (hasKey $list "instruments") (regexMatch "^[A-Z]{2}[A-Z0-9]{9}[0-9]$" $name)) -}}
{{- $wrong = append $wrong (printf "subscriptions.lists.%s: names no instruments: add them, or call the list by the ISIN of its one bond" $name) -}}
{{- end -}}
{{- end -}}

{{- if and $v.topics.init (has "--register-schema" $v.topics.args) (not (dig "registry" "url" "" $v.config)) -}}
{{- $wrong = append $wrong "topics.args: --register-schema needs a registry: set config.registry.url, or take it out" -}}
{{- end -}}

{{- $names := list -}}
{{- range $v.extraEnv -}}
{{- if has .name $names -}}
{{- $wrong = append $wrong (printf "extraEnv: %s stands twice: keep one of the two" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- if hasPrefix "KIS_BOND_" .name -}}
{{- $wrong = append $wrong (printf "extraEnv: %s is a setting of the connector, and the environment would win over config: set it under config" .name) -}}
{{- end -}}
{{- end -}}

{{- $volumes := list "config" "tmp" "journal" "app-keys" "token" "subscriptions" -}}
{{- range concat ($v.extraVolumes | default list) ($v.jobs.extraVolumes | default list) -}}
{{- if has .name $volumes -}}
{{- $wrong = append $wrong (printf "extraVolumes: a volume %s exists already: give it another name" .name) -}}
{{- end -}}
{{- $volumes = append $volumes .name -}}
{{- end -}}
{{- $places := list "/etc/kis-bond/config" "/etc/kis-bond/app-keys" "/etc/kis-bond/subscriptions" "/var/lib/kis-bond" "/tmp" -}}
{{- range concat ($v.extraVolumeMounts | default list) ($v.jobs.extraVolumeMounts | default list) -}}
{{- if has (.mountPath | trimSuffix "/") $places -}}
{{- $wrong = append $wrong (printf "extraVolumeMounts: something is mounted at %s already: choose another folder" .mountPath) -}}
{{- end -}}
{{- $places = append $places (.mountPath | trimSuffix "/") -}}
{{- end -}}
{{- $containers := list "connector" "auditor" "topics" "subscriptions" "check" -}}
{{- range concat ($v.initContainers | default list) ($v.extraContainers | default list) -}}
{{- if has .name $containers -}}
{{- $wrong = append $wrong (printf "extraContainers: a container %s exists already: give it another name" .name) -}}
{{- end -}}
{{- $containers = append $containers .name -}}
{{- end -}}

{{- if $wrong -}}
{{- fail (printf "\n\nThese values cannot be used:\n%s\n" (join "\n" $wrong)) -}}
{{- end -}}
{{- end -}}
