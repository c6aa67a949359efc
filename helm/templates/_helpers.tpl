{{- define "dip.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}
{{- end }}

{{- define "dip.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "dip.labels" -}}
{{ include "dip.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "dip.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end }}
{{- end }}

{{- define "dip.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "dip.fullname" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{- /* The kinds of workers that run, in the order of their work. */ -}}
{{- define "dip.workers" -}}
{{- $found := list }}
{{- range list "router" "delivery" "journal" }}{{ if (index $.Values .).enabled }}{{ $found = append $found . }}{{ end }}{{ end }}
{{- $found | toJson }}
{{- end }}

{{- /* Everything that runs, the bridge first. */ -}}
{{- define "dip.components" -}}
{{- $found := list }}
{{- range list "bridge" "router" "delivery" "journal" "archive" "console" }}{{ if (index $.Values .).enabled }}{{ $found = append $found . }}{{ end }}{{ end }}
{{- $found | toJson }}
{{- end }}

{{- /* A setting as it stands in the environment: whole numbers must not become 1e+06. */ -}}
{{- define "dip.value" -}}
{{- if kindIs "float64" . }}{{ if eq (floor .) . }}{{ printf "%.0f" . }}{{ else }}{{ . }}{{ end }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{- /* What every process needs to know; the rest is in the config map. */ -}}
{{- define "dip.connection" -}}
- name: KAFKA_BOOTSTRAP
  value: {{ .Values.kafka.bootstrap | quote }}
- name: SCHEMA_REGISTRY_URL
  value: {{ .Values.schemaRegistry.url | quote }}
- name: DIP_TOPIC_PARTITIONS
  value: {{ include "dip.value" .Values.topics.partitions | quote }}
- name: DIP_TOPIC_REPLICATION
  value: {{ include "dip.value" .Values.topics.replication | quote }}
- name: DIP_TOPIC_MIN_ISR
  value: {{ include "dip.value" .Values.topics.minIsr | quote }}
{{- if .Values.secrets.config }}
- name: DIP_CONFIG
  value: /etc/dip/config/dip.toml
{{- end }}
{{- end }}

{{- /* Secret files by process: nobody gets a key that it does not use. */ -}}
{{- define "dip.secretNames" -}}
{{- $all := dict "bridge" (list "bridgeTls" "clientCa" "signingCa") "delivery" (list "signing" "webhookClient" "webhookCa") "archive" (list "archive") "console" (list "consoleUsers" "consoleTls") }}
{{- prepend (default list (index $all .component)) "config" | toJson }}
{{- end }}

{{- define "dip.volumes" -}}
- name: tmp
  emptyDir: {}
{{- range $name := include "dip.secretNames" . | fromJsonArray }}
{{- with index $.root.Values.secrets $name }}
- name: secret-{{ kebabcase $name }}
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end }}
{{- with .root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "dip.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- range $name := include "dip.secretNames" . | fromJsonArray }}
{{- if index $.root.Values.secrets $name }}
- name: secret-{{ kebabcase $name }}
  mountPath: /etc/dip/{{ kebabcase $name }}
  readOnly: true
{{- end }}
{{- end }}
{{- with .root.Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "dip.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.user | int }}
runAsGroup: {{ .Values.user | int }}
fsGroup: {{ .Values.user | int }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "dip.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "dip.spread" -}}
- maxSkew: 1
  topologyKey: topology.kubernetes.io/zone
  whenUnsatisfiable: {{ .root.Values.topologySpread.zone }}
  labelSelector:
    matchLabels: {{- include "dip.selector" . | nindent 6 }}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: {{ .root.Values.topologySpread.host }}
  labelSelector:
    matchLabels: {{- include "dip.selector" . | nindent 6 }}
{{- end }}

{{- define "dip.podMeta" -}}
labels:
  {{- include "dip.labels" . | nindent 2 }}
  {{- with .root.Values.podLabels }}{{ toYaml . | nindent 2 }}{{ end }}
annotations:
  checksum/config: {{ include (print .root.Template.BasePath "/configmap.yaml") .root | sha256sum }}
  {{- with .root.Values.podAnnotations }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end }}

{{- /* What all pods have in common: who they are, where they go, what they may. */ -}}
{{- define "dip.podCommon" -}}
serviceAccountName: {{ include "dip.serviceAccount" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext: {{- include "dip.podSecurity" .root | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints: {{- include "dip.spread" . | nindent 2 }}
{{- with .root.Values.initContainers }}
initContainers: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "dip.env" -}}
{{ include "dip.connection" .root }}
{{- include "dip.secretEnvOf" . }}
{{- include "dip.tracesEnvOf" . }}
{{- with .root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The processes that trace; OpenTelemetry's own variables say where to and how many. */ -}}
{{- define "dip.tracesEnvOf" -}}
{{- if and .root.Values.traces.endpoint (has .component (list "bridge" "router" "delivery")) }}
- {name: DIP_TRACES, value: "true"}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ .root.Values.traces.endpoint | quote }}}
{{- if lt (.root.Values.traces.ratio | float64) 1.0 }}
- {name: OTEL_TRACES_SAMPLER, value: parentbased_traceidratio}
- {name: OTEL_TRACES_SAMPLER_ARG, value: {{ .root.Values.traces.ratio | quote }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "dip.secretEnvOf" -}}
{{- $s := .root.Values.secrets }}
{{- if eq .component "bridge" }}
{{- $bridge := .root.Values.bridge }}
{{- if $bridge.divideLimits }}
- {name: DIP_BRIDGE_REPLICAS, value: {{ ternary $bridge.autoscaling.maxReplicas $bridge.replicas $bridge.autoscaling.enabled | int | quote }}}
{{- end }}
{{- if $s.bridgeTls }}
- {name: DIP_TLS_CERTIFICATE, value: /etc/dip/bridge-tls/tls.crt}
- {name: DIP_TLS_KEY, value: /etc/dip/bridge-tls/tls.key}
{{- end }}
{{- if $s.clientCa }}
- {name: DIP_TLS_CLIENT_CA, value: /etc/dip/client-ca/ca.crt}
{{- end }}
{{- if $s.signingCa }}
- {name: DIP_SIGNING_CA, value: /etc/dip/signing-ca/ca.crt}
{{- end }}
{{- else if eq .component "delivery" }}
{{- if $s.signing }}
- {name: DIP_SIGNING_CERTIFICATE, value: /etc/dip/signing/tls.crt}
- {name: DIP_SIGNING_KEY, value: /etc/dip/signing/tls.key}
{{- end }}
{{- if $s.webhookClient }}
- {name: DIP_WEBHOOK_CERTIFICATE, value: /etc/dip/webhook-client/tls.crt}
- {name: DIP_WEBHOOK_KEY, value: /etc/dip/webhook-client/tls.key}
{{- end }}
{{- if $s.webhookCa }}
- {name: DIP_WEBHOOK_CA, value: /etc/dip/webhook-ca/ca.crt}
{{- end }}
{{- else if eq .component "console" }}
- {name: DIP_CONSOLE_USERS, value: /etc/dip/console-users/users.json}
{{- if $s.consoleTls }}
- {name: DIP_CONSOLE_TLS_CERTIFICATE, value: /etc/dip/console-tls/tls.crt}
- {name: DIP_CONSOLE_TLS_KEY, value: /etc/dip/console-tls/tls.key}
{{- end }}
{{- else if eq .component "archive" }}
- {name: DIP_ARCHIVE_SIGNING_KEY, value: /etc/dip/archive/archive.pem}
{{- end }}
{{- end }}

{{- define "dip.probes" -}}
startupProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: {{ max 1 (div (.Values.startupSeconds | int) 10) }}
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 15
  timeoutSeconds: 10
  failureThreshold: 4
{{- end }}

{{- /* Mistakes that a schema cannot see, with what to do. */ -}}
{{- define "dip.check" -}}
{{- if not .Values.kafka.bootstrap }}{{ fail "kafka.bootstrap is required: the brokers as host:port,..." }}{{ end }}
{{- if not .Values.schemaRegistry.url }}{{ fail "schemaRegistry.url is required: a Confluent-compatible schema registry" }}{{ end }}
{{- if and .Values.console.enabled (not .Values.secrets.consoleUsers) }}{{ fail "secrets.consoleUsers is required by console.enabled: a secret with users.json, as `dip console user add` writes it" }}{{ end }}
{{- $partitions := .Values.topics.partitions | int }}
{{- if gt (.Values.topics.minIsr | int) (.Values.topics.replication | int) }}{{ fail (printf "topics.minIsr is %v and topics.replication %v: nothing could be written; expected minIsr <= replication" .Values.topics.minIsr .Values.topics.replication) }}{{ end }}
{{- range include "dip.workers" . | fromJsonArray }}
{{- $worker := index $.Values . }}
{{- if $worker.autoscaling.enabled }}
{{- if gt ($worker.autoscaling.maxReplicas | int) $partitions }}{{ fail (printf "%s.autoscaling.maxReplicas is %v, topics.partitions %d: workers beyond the partitions do nothing; lower it" . $worker.autoscaling.maxReplicas $partitions) }}{{ end }}
{{- if gt ($worker.autoscaling.minReplicas | int) ($worker.autoscaling.maxReplicas | int) }}{{ fail (printf "%s.autoscaling.minReplicas is above its maxReplicas" .) }}{{ end }}
{{- if not $worker.autoscaling.lagThreshold }}{{ fail (printf "%s.autoscaling.lagThreshold is required: the total lag at which one more worker is wanted" .) }}{{ end }}
{{- else if gt ($worker.replicas | int) $partitions }}{{ fail (printf "%s.replicas is %v, topics.partitions %d: workers beyond the partitions do nothing; lower it" . $worker.replicas $partitions) }}{{ end }}
{{- end }}
{{- with .Values.reset.workers }}
{{- if not (index $.Values .).enabled }}{{ fail (printf "reset.workers is %s, which is not enabled: there is nothing to reset" .) }}{{ end }}
{{- end }}
{{- if and .Values.delivery.enabled (not .Values.secrets.signing) }}{{ fail "secrets.signing is required: delivery signs what it sends; name a secret with tls.crt and tls.key" }}{{ end }}
{{- if .Values.archive.enabled }}
{{- if not .Values.secrets.archive }}{{ fail "secrets.archive is required: the archive signs what it seals; name a secret with archive.pem" }}{{ end }}
{{- if not (or .Values.archive.persistence.enabled .Values.archive.settings.archive_url .Values.settings.archive_url) }}{{ fail "archive.settings.archive_url is required without archive.persistence: an archive that goes with its pod is none" }}{{ end }}
{{- end }}
{{- if and .Values.secrets.clientCa (not .Values.secrets.bridgeTls) }}{{ fail "secrets.clientCa needs secrets.bridgeTls: without TLS no client shows a certificate" }}{{ end }}
{{- if and (eq .Values.topics.createdBy "strimzi") (not .Values.topics.strimzi.cluster) }}{{ fail "topics.strimzi.cluster is required with topics.createdBy=strimzi: the name of the Kafka resource" }}{{ end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}{{ fail "httpRoute.parentRefs is required: the gateways that the route belongs to" }}{{ end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}{{ fail "ingress.hosts is required: the host names of the bridge" }}{{ end }}
{{- end }}
