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
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "leeward.name" .) "default") -}}
{{- end }}

{{- define "leeward.image" -}}
{{- $repository := required "image.repository: name the image that you built; see the chart's README" .Values.image.repository -}}
{{- if .Values.image.digest }}{{ $repository }}@{{ .Values.image.digest }}{{ else }}{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end }}
