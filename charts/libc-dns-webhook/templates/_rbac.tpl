{{/*
What the configuration needs of the API: a map of switches, as YAML. Rules stand in clusterrole.yaml and role.yaml only
where their switch is on.
*/}}
{{- define "libc-dns-webhook.needs" -}}
{{- $config := include "libc-dns-webhook.config" . | fromYaml }}
selfManaged: {{ eq $config.tls.mode "self-managed" }}
store: {{ eq (dig "detection" "cache" "store" "memory" $config) "cluster" }}
pullSecrets: {{ dig "detection" "registry" "pullSecrets" false $config }}
warmUp: {{ dig "warmUp" "enabled" true $config }}
admissionPolicy: {{ .Values.admissionPolicy.enabled }}
events: {{ dig "server" "events" false $config }}
exposure: {{ eq (dig "exposure" "always" $config) "auto" }}
nodeLocal: {{ eq (dig "nodeLocal" "mode" "auto" $config) "auto" }}
networkPolicies: {{ dig "networkPolicies" true $config }}
facts: {{ or (eq (dig "nodeLocal" "mode" "auto" $config) "auto") (kindIs "string" (dig "cluster" "dns" "auto" $config)) (dig "networkPolicies" true $config) }}
dnsService: {{ dig "cluster" "service" "kube-system/kube-dns" $config }}
nodeLocalDaemonSet: {{ dig "nodeLocal" "daemonSet" "kube-system/node-local-dns" $config }}
{{- end }}

{{/* subjects: our ServiceAccount. */}}
{{- define "libc-dns-webhook.subjects" -}}
- kind: ServiceAccount
  name: {{ include "libc-dns-webhook.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* The rules for pull secrets, cluster-wide or in the namespaces listed. */}}
{{- define "libc-dns-webhook.pullSecretRules" -}}
# Logins for private images: those that the Pod names, and its service account's. Read by name, never listed.
- apiGroups: [""]
  resources: [secrets, serviceaccounts]
  verbs: [get]
{{- end }}

{{/* In our own namespace. RBAC cannot restrict create by name. */}}
{{- define "libc-dns-webhook.ownRules" -}}
{{- $fullname := include "libc-dns-webhook.fullname" . }}
{{- $needs := include "libc-dns-webhook.needs" . | fromYaml }}
{{- if $needs.selfManaged -}}
# The CA that the replicas share: made once, replaced before it expires.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [{{ $fullname }}-ca]
  verbs: [list, watch, patch]
{{ end }}
{{- if $needs.warmUp -}}
# One replica at a time warms up.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ $fullname }}]
  verbs: [get, update]
{{- end }}
{{- end }}

{{- define "libc-dns-webhook.dnsServiceRule" -}}
# The cluster DNS: its addresses.
- apiGroups: [""]
  resources: [services]
  resourceNames: [{{ . }}]
  verbs: [get]
{{- end }}

{{- define "libc-dns-webhook.dnsBackendsRule" -}}
# What is behind the cluster DNS: network policies match its addresses and ports there.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list]
{{- end }}

{{- define "libc-dns-webhook.nodeLocalRule" -}}
# NodeLocal DNSCache: whether it is there, what it listens on, how ready it is.
- apiGroups: [apps]
  resources: [daemonsets]
  {{- if regexMatch "[*=]" . }}
  verbs: [list]
  {{- else }}
  resourceNames: [{{ . }}]
  verbs: [get]
  {{- end }}
{{- end }}

{{- define "libc-dns-webhook.localRedirectRule" -}}
# Cilium's local redirects: whether one brings Pods to a cache that has no address on the nodes.
- apiGroups: [cilium.io]
  resources: [ciliumlocalredirectpolicies]
  verbs: [list]
{{- end }}

{{/* In kube-system: what tells the mode of kube-proxy. RBAC cannot restrict list by label. */}}
{{- define "libc-dns-webhook.kubeProxyRules" -}}
# The mode of kube-proxy, or what stands in for it.
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [kube-proxy, kube-proxy-config, cilium-config]
  verbs: [get]
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
{{- end }}
