{{- define "libc-dns-webhook.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end -}}
{{- end }}

{{/* Whole folders rather than single files: those the kubelet never updates. */}}
{{- define "libc-dns-webhook.volumeMounts" -}}
- { name: config, mountPath: /etc/libc-dns, readOnly: true }
{{- if ne .Values.certificates.source "self-managed" }}
- { name: tls, mountPath: /run/libc-dns/tls, readOnly: true }
{{- end }}
{{- if or .Values.clientCa.configMap .Values.clientCa.secret }}
- { name: client-ca, mountPath: /run/libc-dns/client-ca, readOnly: true }
{{- end }}
{{- if or .Values.registryCa.configMap .Values.registryCa.secret }}
- { name: registry-ca, mountPath: /run/libc-dns/registry-ca, readOnly: true }
{{- end }}
{{- if .Values.registryLogins.secret }}
- { name: registry-logins, mountPath: /run/libc-dns/registry-logins, readOnly: true }
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "libc-dns-webhook.volumes" -}}
- name: config
  configMap: { name: {{ include "libc-dns-webhook.fullname" . }} }
{{- if ne .Values.certificates.source "self-managed" }}
- name: tls
  secret: { secretName: {{ include "libc-dns-webhook.certificateSecret" . }}, defaultMode: 0440 }
{{- end }}
{{- range $name, $source := dict "client-ca" .Values.clientCa "registry-ca" .Values.registryCa }}
{{- if $source.configMap }}
- name: {{ $name }}
  configMap: { name: {{ $source.configMap }}, items: [{ key: {{ $source.key }}, path: ca.crt }] }
{{- else if $source.secret }}
- name: {{ $name }}
  secret: { secretName: {{ $source.secret }}, items: [{ key: {{ $source.key }}, path: ca.crt }] }
{{- end }}
{{- end }}
{{- with .Values.registryLogins.secret }}
- name: registry-logins
  secret: { secretName: {{ . }}, defaultMode: 0440, items: [{ key: .dockerconfigjson, path: config.json }] }
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "libc-dns-webhook.podSecurityContext" -}}
{{- $security := dict "runAsNonRoot" true "runAsUser" 65532 "runAsGroup" 65532 "fsGroup" 65532 "seccompProfile" (dict "type" "RuntimeDefault") }}
{{- range $key, $value := .Values.podSecurityContext }}
{{- $security = ternary (omit $security $key) (merge (dict $key $value) $security) (kindIs "invalid" $value) }}
{{- end }}
{{- toYaml $security }}
{{- end }}
