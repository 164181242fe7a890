{{- define "leeward.name" -}}
{{- if contains "leeward" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-leeward" .Release.Name | trunc 52 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "leeward.chosen" -}}
app.kubernetes.io/name: leeward
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "leeward.labels" -}}
{{ include "leeward.chosen" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "leeward.account" -}}
{{- .Values.serviceAccount.name | default (include "leeward.name" .) -}}
{{- end }}

{{- define "leeward.image" -}}
{{- $repository := required "image.repository: name the image that you made; see docs/howto/install-on-kubernetes.md" .Values.image.repository -}}
{{- if .Values.image.digest }}{{ $repository }}@{{ .Values.image.digest }}{{ else }}{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end }}

{{- /* What runs in the cluster is known by this folder's name: two installations in one cluster have two. */}}
{{- define "leeward.home" -}}
/var/lib/leeward/{{ .Release.Namespace }}.{{ include "leeward.name" . }}
{{- end }}

{{- define "leeward.container" -}}
image: {{ include "leeward.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
envFrom:
  - configMapRef: {name: {{ include "leeward.name" . }}}
env:
  - {name: NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
  - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
  - {name: LEEWARD_POD, value: $(NAMESPACE)/$(POD)}
  - {name: HOME, value: {{ include "leeward.home" . }}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
  - {name: home, mountPath: /var/lib/leeward}
  - {name: temporary, mountPath: /tmp}
  - {name: database, mountPath: /run/leeward-database, readOnly: true}
{{- end }}
