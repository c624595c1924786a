{{/* Labels of every object. */}}
{{- define "kproxy.labels" -}}
app.kubernetes.io/name: kproxy
k8s-app: kproxy
{{- end }}

{{/* The image's full name; a digest is joined with @. */}}
{{- define "kproxy.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{ .Values.image.repository }}{{ hasPrefix "sha256:" $tag | ternary "@" ":" }}{{ $tag }}
{{- end }}

{{/* "true" in the modes that run iptables, which needs root; empty in others. */}}
{{- define "kproxy.runsIptables" -}}
{{- if has .Values.mode (list "iptables" "ipvs") }}true{{ end }}
{{- end }}

{{/* What both containers know of the node and the API server. */}}
{{- define "kproxy.environment" -}}
env:
  - name: NODE_NAME
    valueFrom:
      fieldRef:
        fieldPath: spec.nodeName
envFrom:
  - configMapRef:
      name: kproxy-api-server
{{- end }}
