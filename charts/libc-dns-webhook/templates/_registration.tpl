{{/*
An entry of the registration: (list root name namespaceOperator namespaceValues podOperator podValues), operators and values
for the label libc-dns.dev/mode. There is no caBundle unless it is given: its owner writes it, and nobody sees a drift.
*/}}
{{- define "libc-dns-webhook.registration" }}
{{- $root := index . 0 -}}
- name: {{ index . 1 }}.libc-dns.dev
  admissionReviewVersions: [v1]
  clientConfig:
    {{- with $root.Values.certificates.caBundle }}
    caBundle: {{ b64enc . }}
    {{- end }}
    service:
      name: {{ include "libc-dns-webhook.fullname" $root }}
      namespace: {{ $root.Release.Namespace }}
      path: /mutate
      port: {{ $root.Values.service.port }}
  # A Pod's dnsPolicy and dnsConfig never change once it is there.
  rules:
    - apiGroups: [""]
      apiVersions: [v1]
      operations: [CREATE]
      resources: [pods]
      scope: Namespaced
  failurePolicy: {{ $root.Values.webhook.failurePolicy }}
  matchPolicy: Equivalent
  reinvocationPolicy: {{ $root.Values.webhook.reinvocationPolicy }}
  # What is found out about an image is remembered, except for a dry run.
  sideEffects: NoneOnDryRun
  timeoutSeconds: {{ $root.Values.webhook.timeoutSeconds }}
  namespaceSelector:
    matchExpressions:
      - key: kubernetes.io/metadata.name
        operator: NotIn
        values:
          {{- $excluded := dig "excludeNamespaces" (list) $root.Values.config }}
          {{- concat (list "kube-system" "kube-public" "kube-node-lease" $root.Release.Namespace) $excluded | uniq | toYaml | nindent 10 }}
      - { key: libc-dns.dev/mode, operator: {{ index . 2 }}, values: {{ index . 3 | toJson }} }
      {{- with $root.Values.webhook.namespaceSelector.matchExpressions }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with $root.Values.webhook.namespaceSelector.matchLabels }}
    matchLabels:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  objectSelector:
    matchExpressions:
      - { key: libc-dns.dev/mode, operator: {{ index . 4 }}, values: {{ index . 5 | toJson }} }
  matchConditions:
    {{- include "libc-dns-webhook.matchConditions" $root | nindent 4 }}
    {{- if $root.Values.admissionPolicy.enabled }}
    # The policy has decided about all its containers.
    - name: not-decided
      expression: >-
        !({{ include "libc-dns-webhook.decided" $root }}
        && !object.metadata.annotations['libc-dns.dev/decision'].contains('unknown'))
    {{- end }}
{{- end }}

{{/*
Pods that are left alone by rule (src/policy/exemptions.ts). An expression that fails would let its Pod through unpatched, so
each field is asked for before it is read.
*/}}
{{- define "libc-dns-webhook.matchConditions" -}}
# On the host's network ClusterFirst is the node's own DNS.
- name: not-on-host-network
  expression: >-
    !(has(object.spec.hostNetwork) && object.spec.hostNetwork)
    || (has(object.spec.dnsPolicy) && object.spec.dnsPolicy != "ClusterFirst")
# None is the author's own, unless we wrote it: another webhook may have added a container since.
- name: cluster-dns
  expression: >-
    !has(object.spec.dnsPolicy)
    || object.spec.dnsPolicy in ["ClusterFirst", "ClusterFirstWithHostNet"]
    || (object.spec.dnsPolicy == "None"
    && has(object.metadata.annotations)
    && "libc-dns.dev/decision" in object.metadata.annotations
    && object.metadata.annotations["libc-dns.dev/decision"].matches("\"remedy\"\\s*:\\s*\\[[^\\]]*\"(redirect|sidecar)\""))
- name: not-windows
  expression: >-
    !(has(object.spec.os) && has(object.spec.os.name) && object.spec.os.name == "windows")
    && !(has(object.spec.nodeSelector)
    && ["kubernetes.io/os", "beta.kubernetes.io/os"].exists(label,
    label in object.spec.nodeSelector && object.spec.nodeSelector[label] == "windows"))
# The API's image of a static Pod, which is running already.
- name: not-a-mirror
  expression: >-
    !(has(object.metadata.annotations) && "kubernetes.io/config.mirror" in object.metadata.annotations)
{{- with .Values.webhook.matchConditions }}
{{ toYaml . }}
{{- end }}
{{- end }}
