{{/* The digest that a release has written into Chart.yaml is of its own image: it gives way to any tag or digest of the user. */}}
{{- define "libc-dns-webhook.image" -}}
{{- $released := index .Chart.Annotations "libc-dns.dev/image-digest" -}}
{{- $image := .Values.image -}}
{{- $host := regexFind "^(localhost|[^/]*[.:][^/]*)/" $image.repository -}}
{{- $registry := .Values.global.imageRegistry | default (trimSuffix "/" $host) | default $image.registry -}}
{{- with $registry }}{{ . }}/{{ end }}{{ trimPrefix $host $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}
{{- else if or $image.tag (not $released) }}:{{ default .Chart.AppVersion $image.tag }}
{{- else }}@{{ $released }}
{{- end -}}
{{- end }}

{{- define "libc-dns-webhook.securityContext" -}}
{{- toYaml (mergeOverwrite (dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" (dict "drop" (list "ALL"))) .Values.securityContext) }}
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
{{- $security := dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault") }}
{{- /* OpenShift numbers users by namespace, and its restricted-v2 refuses any other. */}}
{{- if not (.Capabilities.APIVersions.Has "security.openshift.io/v1") }}
{{- $security = mergeOverwrite $security (dict "runAsUser" 65532 "runAsGroup" 65532 "fsGroup" 65532) }}
{{- end }}
{{- range $key, $value := .Values.podSecurityContext }}
{{- $security = ternary (omit $security $key) (merge (dict $key $value) $security) (kindIs "invalid" $value) }}
{{- end }}
{{- toYaml $security }}
{{- end }}
