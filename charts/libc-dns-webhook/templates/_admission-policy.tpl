{{/*
The variables of both policies (enforce, audit): what runs in a Pod by its namespace's PodResolvers, and which finished remedy that
gives. Each field is asked for before it is read: an expression that fails lets its Pod through unpatched.
*/}}
{{- define "libc-dns-webhook.policyVariables" -}}
- name: labels
  expression: "has(object.metadata.labels) ? object.metadata.labels : {}"
- name: annotations
  expression: "has(object.metadata.annotations) ? object.metadata.annotations : {}"
- name: podMode
  expression: "'libc-dns.dev/mode' in variables.labels ? variables.labels['libc-dns.dev/mode'] : ''"
- name: namespaceMode
  expression: >-
    has(namespaceObject.metadata.labels) && 'libc-dns.dev/mode' in namespaceObject.metadata.labels
    ? namespaceObject.metadata.labels['libc-dns.dev/mode'] : ''
# As src/policy/scope.ts says: the Pod's label, but it cannot raise above its namespace's audit; the namespace's; the configured mode.
- name: mode
  expression: >-
    variables.podMode == 'enforce' && variables.namespaceMode == 'audit' ? 'audit'
    : variables.podMode in ['enforce', 'audit', 'off'] ? variables.podMode
    : variables.namespaceMode in ['enforce', 'audit', 'off'] ? variables.namespaceMode
    : {{ ternary (dig "mode" "enforce" .Values.config) "off" (eq (dig "scope" "opt-in" .Values.config) "cluster") | squote }}
- name: containers
  expression: "(has(object.spec.initContainers) ? object.spec.initContainers : []) + object.spec.containers"
- name: selector
  expression: "has(object.spec.nodeSelector) ? object.spec.nodeSelector : {}"
- name: nodeTerms
  expression: >-
    has(object.spec.affinity) && has(object.spec.affinity.nodeAffinity)
    && has(object.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution)
    ? object.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms : []
# Images were looked up for one architecture.
- name: known
  expression: >-
    'kubernetes.io/arch' in variables.selector ? variables.selector['kubernetes.io/arch'] == string(params.spec.architecture)
    : 'beta.kubernetes.io/arch' in variables.selector
    ? variables.selector['beta.kubernetes.io/arch'] == string(params.spec.architecture)
    : variables.nodeTerms.all(t, !has(t.matchExpressions) || t.matchExpressions.all(e, e.key != 'kubernetes.io/arch'
      || (e.operator == 'In' && has(e.values) && e.values.exists(v, v == string(params.spec.architecture)))))
- name: windows
  expression: >-
    size(variables.nodeTerms) > 0 && variables.nodeTerms.all(t, has(t.matchExpressions) && t.matchExpressions.exists(e,
      e.key in ['kubernetes.io/os', 'beta.kubernetes.io/os'] && e.operator == 'In' && has(e.values)
      && size(e.values) > 0 && e.values.all(v, v == 'windows')))
- name: podUser
  expression: "has(object.spec.securityContext) && has(object.spec.securityContext.runAsUser)"
# The resolvers of each container: what its author declares, else what its image is known for, else unknown.
- name: found
  expression: >-
    variables.containers.map(c, {
      'name': string(c.name),
      'resolvers': string((
        ['libc-dns.dev/libc.' + c.name, 'libc-dns.dev/libc']
          .filter(key, key in variables.annotations && variables.annotations[key] in ['glibc', 'musl', 'go', 'other'])
          .map(key, variables.annotations[key])
        + (!variables.known || !has(c.image) ? [] : (
            (
              !variables.podUser && !(has(c.command) && size(c.command) > 0) && !(has(c.args) && size(c.args) > 0)
              && !(has(c.env) && size(c.env) > 0) && !(has(c.envFrom) && size(c.envFrom) > 0)
              && !(has(c.workingDir) && c.workingDir != '')
              && !(has(c.securityContext) && has(c.securityContext.runAsUser))
              && !(has(c.volumeMounts)
                && c.volumeMounts.exists(m, !m.mountPath.matches('^/(var/)?run/secrets/kubernetes[.]io/serviceaccount/?$')))
              ? [c.image + ' bare'] : []
            ) + (
              (has(c.workingDir) && c.workingDir != '')
              || (has(c.env) && c.env.exists(e, e.name in ['GODEBUG', 'HOSTALIASES', 'LOCALDOMAIN', 'RES_OPTIONS', 'PATH']))
              || (has(c.volumeMounts) && c.volumeMounts.exists(m, m.mountPath.contains('..')
                || !m.mountPath.matches('^/(etc|var|data|tmp|run|mnt|proc|sys|dev|config|secrets?)(/|$)')
                || (has(c.command) && size(c.command) > 0 && c.command[0].startsWith(m.mountPath))))
              ? []
              : has(c.command) && size(c.command) > 0 ? [c.image + ' command ' + c.command[0]]
              : has(c.args) && size(c.args) > 0 ? [string(c.image), c.image + ' args ' + c.args[0]]
              : [string(c.image)]
            )).filter(key, key in params.spec.images).map(key, string(params.spec.images[key])))
        + ['unknown'])[0])
    })
- name: resolvers
  expression: >-
    ['glibc', 'go', 'musl', 'other', 'unknown'].filter(r, variables.found.exists(f, r in f['resolvers'].split('+'))).join('+')
- name: redirected
  expression: "has(object.spec.dnsPolicy) && object.spec.dnsPolicy == 'None'"
- name: hasConfig
  expression: "has(object.spec.dnsConfig)"
- name: hasOptions
  expression: "variables.hasConfig && has(object.spec.dnsConfig.options)"
- name: hasNameservers
  expression: >-
    variables.hasConfig && has(object.spec.dnsConfig.nameservers) && size(object.spec.dnsConfig.nameservers) > 0
- name: hasSearches
  expression: "variables.hasConfig && has(object.spec.dnsConfig.searches) && size(object.spec.dnsConfig.searches) > 0"
- name: virtual
  expression: >-
    params.spec.virtual.nodes.exists(n,
      variables.selector.exists(key, key + '=' + variables.selector[key] == string(n))
      || variables.nodeTerms.exists(t, has(t.matchExpressions) && t.matchExpressions.exists(e,
        e.operator == 'In' && has(e.values) && e.values.exists(v, e.key + '=' + v == string(n)))))
    || (has(object.spec.schedulerName) && object.spec.schedulerName == 'fargate-scheduler')
    || (has(object.spec.tolerations)
      && object.spec.tolerations.exists(t, has(t.key) && params.spec.virtual.taints.exists(k, string(k) == t.key)))
    || (has(object.spec.nodeName) && object.spec.nodeName.matches(string(params.spec.virtual.nodeName)))
    || [variables.labels, variables.annotations].exists(map,
      (string(params.spec.virtual.trueMark) in map && map[string(params.spec.virtual.trueMark)] == 'true')
      || map.exists(key, key.startsWith(string(params.spec.virtual.markPrefix))))
    || params.spec.virtual.marks.exists(m,
      (string(m) in variables.labels && !(variables.labels[string(m)] in ['false', 'off']))
      || (string(m) in variables.annotations && !(variables.annotations[string(m)] in ['false', 'off'])))
- name: shape
  expression: >-
    variables.redirected ? 'plain' : variables.hasNameservers ? 'nameservers' : variables.virtual ? 'virtual'
    : variables.hasSearches ? 'searches' : 'plain'
- name: remedies
  expression: >-
    !variables.windows && variables.shape in params.spec.classes && variables.resolvers in params.spec.classes[variables.shape]
    ? [params.spec.remedies[int(params.spec.classes[variables.shape][variables.resolvers])]] : []
# An option is about the same as another by the part of its name before a colon; the two single-request options are about one thing.
- name: present
  expression: >-
    variables.hasOptions
    ? object.spec.dnsConfig.options.map(o, has(o.name)
      ? (o.name.split(':')[0] == 'single-request-reopen' ? 'single-request' : o.name.split(':')[0]) : '') : []
- name: missing
  expression: >-
    size(variables.remedies) == 0 ? [] : variables.remedies[0].options.filter(o,
      !((string(o.name) == 'single-request-reopen' ? 'single-request' : string(o.name)) in variables.present))
- name: redirects
  expression: "size(variables.remedies) > 0 && !variables.redirected && has(variables.remedies[0].dnsPolicy)"
- name: adds
  expression: >-
    size(variables.remedies) > 0 && !variables.redirected && !variables.hasNameservers && has(variables.remedies[0].nameservers)
- name: changes
  expression: >-
    {{- if .Values.admissionPolicy.webhook }}
    !variables.resolvers.contains('unknown') &&
    {{- end }}
    (variables.redirects || variables.adds || size(variables.missing) > 0)
- name: decision
  expression: >-
    size(variables.remedies) == 0 ? '' : '{"reason":"' + string(variables.remedies[0].reason)
    + '","remedy":["' + variables.remedies[0].remedy.map(r, string(r)).join('","')
    + '"],"resolvers":{' + variables.found.map(f, '"' + f['name'] + '":"' + f['resolvers'] + '"').join(',') + '}}'
{{- end }}

{{/* (list root operator values): for namespaces whose label libc-dns.dev/mode is, or is not, one of the values. */}}
{{- define "libc-dns-webhook.policyConstraints" -}}
{{- $root := index . 0 -}}
resourceRules:
  - apiGroups: [""]
    apiVersions: [v1]
    operations: [CREATE]
    resources: [pods]
    scope: Namespaced
namespaceSelector:
  matchExpressions:
    - key: kubernetes.io/metadata.name
      operator: NotIn
      values:
        {{- $excluded := dig "excludeNamespaces" (list) $root.Values.config }}
        {{- concat (list "kube-system" "kube-public" "kube-node-lease" $root.Release.Namespace) $excluded | uniq | toYaml | nindent 8 }}
    - { key: libc-dns.dev/mode, operator: {{ index . 1 }}, values: {{ index . 2 | toJson }} }
    {{- with $root.Values.webhook.namespaceSelector.matchExpressions }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $root.Values.webhook.namespaceSelector.matchLabels }}
  matchLabels:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
