{{- define "libc-dns-webhook.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Cut at 40 characters: what is derived from it stays below 63. */}}
{{- define "libc-dns-webhook.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "libc-dns-webhook.selectorLabels" -}}
app.kubernetes.io/name: {{ include "libc-dns-webhook.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "libc-dns-webhook.labels" -}}
{{ include "libc-dns-webhook.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* (list root own): commonAnnotations and an object's own, which win. Empty without any. */}}
{{- define "libc-dns-webhook.annotations" -}}
{{- with mergeOverwrite (deepCopy (index . 0).Values.commonAnnotations) (index . 1) -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "libc-dns-webhook.serviceAccountName" -}}
{{- default (ternary (include "libc-dns-webhook.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{- define "libc-dns-webhook.priorityClassName" -}}
{{- if .Values.priorityClass.create }}{{ include "libc-dns-webhook.fullname" . }}{{ else }}{{ .Values.priorityClass.name }}{{ end }}
{{- end }}

{{/* The Secret with the serving certificate, where it is mounted. */}}
{{- define "libc-dns-webhook.certificateSecret" -}}
{{- if eq .Values.certificates.source "secret" }}{{ .Values.certificates.secretName }}{{ else }}{{ include "libc-dns-webhook.fullname" . }}-tls{{ end }}
{{- end }}

{{/* The configuration file: values.config, and the names that depend on the release. */}}
{{- define "libc-dns-webhook.config" -}}
{{- $fullname := include "libc-dns-webhook.fullname" . }}
{{- $config := deepCopy .Values.config }}
{{- $tls := dict "mode" "files" "certFile" "/run/libc-dns/tls/tls.crt" "keyFile" "/run/libc-dns/tls/tls.key" }}
{{- if eq .Values.certificates.source "self-managed" }}
{{- $tls = dict "mode" "self-managed" "secret" (printf "%s-ca" $fullname) "registration" $fullname "service" $fullname }}
{{- end }}
{{- if or .Values.clientCa.configMap .Values.clientCa.secret }}
{{- $_ := set $tls "clientCaFile" "/run/libc-dns/client-ca/ca.crt" }}
{{- with .Values.clientCa.names }}
{{- $_ := set $tls "clientNames" . }}
{{- end }}
{{- end }}
{{- if and .Values.admissionPolicy.enabled (not .Values.admissionPolicy.webhook) }}
{{- /* Nobody calls: there is no registration for a CA. */}}
{{- $tls = dict "mode" "ephemeral" }}
{{- end }}
{{- $config = mergeOverwrite $config (dict "tls" $tls "warmUp" (dict "lease" $fullname)) }}
{{- if .Values.admissionPolicy.enabled }}
{{- $config = mergeOverwrite $config (dict "admissionPolicy" (dict "enabled" true)) }}
{{- end }}
{{- $registry := dict }}
{{- if or .Values.registryCa.configMap .Values.registryCa.secret }}
{{- $_ := set $registry "caFile" "/run/libc-dns/registry-ca/ca.crt" }}
{{- end }}
{{- if .Values.registryLogins.secret }}
{{- $_ := set $registry "dockerConfig" "/run/libc-dns/registry-logins/config.json" }}
{{- end }}
{{- with .Values.proxy.url }}
{{- $_ := set $registry "proxy" . }}
{{- end }}
{{- with .Values.proxy.noProxy }}
{{- $_ := set $registry "noProxy" . }}
{{- end }}
{{- if $registry }}
{{- $config = mergeOverwrite $config (dict "detection" (dict "registry" $registry)) }}
{{- end }}
{{- with .Values.global.imageRegistry }}
{{- $cache := dig "sidecar" "image" "" $config | default "registry.k8s.io/coredns/coredns:v1.14.6" }}
{{- $config = mergeOverwrite $config (dict "sidecar" (dict "image" (include "libc-dns-webhook.mirrored" (list . $cache)))) }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{/* (list registry image): the image in this registry instead of its own. */}}
{{- define "libc-dns-webhook.mirrored" -}}
{{ index . 0 }}/{{ regexReplaceAll "^(localhost|[^/]*[.:][^/]*)/" (index . 1) "" }}
{{- end }}

{{- define "libc-dns-webhook.port" -}}
{{- dig "server" "port" 10250 .Values.config }}
{{- end }}

{{- define "libc-dns-webhook.metricsPort" -}}
{{- dig "server" "metricsPort" 9402 .Values.config }}
{{- end }}

{{/* The port of proxy.url; nothing where it is not given. */}}
{{- define "libc-dns-webhook.proxyPort" -}}
{{- with .Values.proxy.url }}
{{- $url := urlParse . }}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (ternary "443" "80" (eq $url.scheme "https")) }}
{{- end }}
{{- end }}

{{/* Milliseconds of a duration in Go's notation: 1500ms, 1m30s. */}}
{{- define "libc-dns-webhook.milliseconds" -}}
{{- $sum := 0.0 }}
{{- range regexFindAll "[0-9.]+(ms|s|m|h)" . -1 }}
{{- $unit := regexFind "[a-z]+$" . }}
{{- $sum = addf $sum (mulf (float64 (trimSuffix $unit .)) (get (dict "ms" 1.0 "s" 1000.0 "m" 60000.0 "h" 3600000.0) $unit)) }}
{{- end }}
{{- $sum }}
{{- end }}

{{/* What cannot be right, said before anything is installed. */}}
{{- define "libc-dns-webhook.validate" -}}
{{- $budget := dig "detection" "budget" "1500ms" .Values.config }}
{{- if le (mulf 1000 .Values.webhook.timeoutSeconds) (include "libc-dns-webhook.milliseconds" $budget | float64) }}
{{- fail (printf "webhook.timeoutSeconds is %v, and config.detection.budget %s: make it longer, so that the server answers before the API server gives up" .Values.webhook.timeoutSeconds $budget) }}
{{- end }}
{{- if .Values.admissionPolicy.enabled }}
{{- if semverCompare "<1.36.0-0" .Capabilities.KubeVersion.Version }}
{{- fail (printf "admissionPolicy.enabled: MutatingAdmissionPolicy is stable from Kubernetes 1.36 on, and this is %s" .Capabilities.KubeVersion.Version) }}
{{- end }}
{{- if or (not (dig "warmUp" "enabled" true .Values.config)) (not (dig "detection" "registry" "enabled" true .Values.config)) }}
{{- fail "admissionPolicy.enabled: it applies what warm-up finds out: leave config.warmUp.enabled and config.detection.registry.enabled on" }}
{{- end }}
{{- end }}
{{- range $key, $registry := dict "global.imageRegistry" .Values.global.imageRegistry "image.registry" .Values.image.registry }}
{{- if regexMatch "://|/$|\\s" ($registry | default "") }}
{{- fail (printf "%s is %q: give the host, with port and path if need be, without https:// and without / at its end" $key $registry) }}
{{- end }}
{{- end }}
{{- if not (regexMatch "^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$" .Values.image.tag) }}
{{- fail (printf "image.tag is %q, which is no tag: letters, digits, dots, - and _" .Values.image.tag) }}
{{- end }}
{{- with .Values.autoscaling }}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) }}
{{- fail (printf "autoscaling.minReplicas is %v, and maxReplicas %v: it cannot be more" .minReplicas .maxReplicas) }}
{{- end }}
{{- end }}
{{- range $key := list "readinessProbe" "livenessProbe" "startupProbe" }}
{{- $probe := get $.Values $key }}
{{- range $handler := list "exec" "tcpSocket" "grpc" }}
{{- if and (hasKey $probe $handler) (hasKey $probe "httpGet") }}
{{- fail (printf "%s: a probe asks in one way: set httpGet to null beside %s" $key $handler) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.hostNetwork (eq (include "libc-dns-webhook.port" .) "10250") }}
{{- fail "hostNetwork: port 10250 is the kubelet's on every node: set config.server.port, to 10260 for example" }}
{{- end }}
{{- if eq (include "libc-dns-webhook.port" .) (include "libc-dns-webhook.metricsPort" .) }}
{{- fail "config.server.metricsPort: set another port than config.server.port" }}
{{- end }}
{{- if and (eq .Values.certificates.source "secret") (not .Values.certificates.secretName) }}
{{- fail "certificates.source secret: set certificates.secretName" }}
{{- end }}
{{- if and (ne .Values.certificates.source "secret") .Values.certificates.caBundle }}
{{- fail "certificates.caBundle is for source secret: the other sources write it themselves" }}
{{- end }}
{{- range $key := list "clientCa" "registryCa" }}
{{- $source := get $.Values $key }}
{{- if and $source.configMap $source.secret }}
{{- fail (printf "%s: set configMap or secret, not both" $key) }}
{{- end }}
{{- end }}
{{- if and .Values.clientCa.names (not .Values.clientCa.configMap) (not .Values.clientCa.secret) }}
{{- fail "clientCa.names: set clientCa.configMap or clientCa.secret too: without a CA no certificate is asked for" }}
{{- end }}
{{- if and .Values.nodeLocalDns.enabled (regexMatch "[*=]" (dig "nodeLocal" "daemonSet" "" .Values.config)) }}
{{- fail "nodeLocalDns.enabled: config.nodeLocal.daemonSet names what is installed: namespace/name" }}
{{- end }}
{{- range $key := list "proxy" "noProxy" }}
{{- if and (dig "detection" "registry" $key "" $.Values.config) (get $.Values.proxy (ternary "url" $key (eq $key "proxy"))) }}
{{- fail (printf "config.detection.registry.%s: set it here or in proxy, not in both" $key) }}
{{- end }}
{{- end }}
{{- if and .Values.proxy.secret (not .Values.proxy.url) .Values.networkPolicy.enabled .Values.networkPolicy.egressPorts }}
{{- fail "proxy.secret: set proxy.url too, without a login, so that networkPolicy.egressPorts can have its port" }}
{{- end }}
{{- end }}
