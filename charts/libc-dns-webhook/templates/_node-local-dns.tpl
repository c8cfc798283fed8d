{{/* [namespace, name] of the DaemonSet, as the server looks for it. */}}
{{- define "libc-dns-webhook.nodeLocal" -}}
{{- splitList "/" (dig "nodeLocal" "daemonSet" "kube-system/node-local-dns" .Values.config) | toYaml }}
{{- end }}

{{- define "libc-dns-webhook.nodeLocalImage" -}}
{{- with .Values.global.imageRegistry }}{{ include "libc-dns-webhook.mirrored" (list . $.Values.nodeLocalDns.image) }}{{ else }}{{ .Values.nodeLocalDns.image }}{{ end }}
{{- end }}

{{- define "libc-dns-webhook.nodeLocalAddress" -}}
{{- first (dig "nodeLocal" "addresses" (list "169.254.20.10") .Values.config) }}
{{- end }}

{{/* One zone of the Corefile: (list root zone cacheLines forwardLines health). Words between underscores are filled in by node-cache. */}}
{{- define "libc-dns-webhook.zone" -}}
{{- $root := index . 0 -}}
{{- $address := include "libc-dns-webhook.nodeLocalAddress" $root -}}
{{ index . 1 }}:53 {
    errors
    {{ index . 2 }}
    reload
    loop
    bind {{ $address }}{{ with $root.Values.nodeLocalDns.interceptAddress }} {{ . }}{{ end }}
    {{ index . 3 }}
    prometheus :9253
    {{- if index . 4 }}
    health {{ $address }}:8080
    {{- end }}
}
{{- end }}
