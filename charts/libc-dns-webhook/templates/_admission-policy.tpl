{{/* A container (c) with nothing of its own, for which the key "IMAGE bare" holds. */}}
{{- define "libc-dns-webhook.policyBare" -}}
!(has(object.spec.securityContext) && has(object.spec.securityContext.runAsUser))
        && !(has(c.command) && size(c.command) > 0) && !(has(c.args) && size(c.args) > 0)
        && !(has(c.env) && size(c.env) > 0) && !(has(c.envFrom) && size(c.envFrom) > 0)
        && !(has(c.workingDir) && c.workingDir != '')
        && !(has(c.securityContext) && has(c.securityContext.runAsUser))
        && !(has(c.volumeMounts)
          && c.volumeMounts.exists(m, !m.mountPath.matches('^/(var/)?run/secrets/kubernetes[.]io/serviceaccount/?$')))
{{- end }}

{{/* A container (c) that runs what its image and its first word say: nothing of its own that counts besides. */}}
{{- define "libc-dns-webhook.policyAlone" -}}
!(has(c.workingDir) && c.workingDir != '')
        && !(has(c.env) && c.env.exists(e, e.name in ['GODEBUG', 'HOSTALIASES', 'LOCALDOMAIN', 'RES_OPTIONS', 'PATH']))
        && !(has(c.volumeMounts) && c.volumeMounts.exists(m, m.mountPath.contains('..')
          || !m.mountPath.matches('^/(etc|var|data|tmp|run|mnt|proc|sys|dev|config|secrets?)(/|$)')
          || (has(c.command) && size(c.command) > 0 && c.command[0].startsWith(m.mountPath))))
{{- end }}

{{/*
Where a PodResolvers lists the image of each container, and as what (src/pod-resolvers/listing.ts): by what comes before its name, and that
with the last letters of repository and name; the name with a space before and after it, of a digest 16 digits. A search for a string costs
its length times that of what is searched: so texts are short.
*/}}
{{- define "libc-dns-webhook.policyPlaces" -}}
- name: images
  expression: "variables.containers.map(c, has(c.image) ? c.image : '')"
- name: places
  expression: >-
    variables.images.map(image, [image.substring(0, image.lastIndexOf('/') + 1)].map(place,
      [image.substring(image.lastIndexOf('/') + 1)].map(name,
        [place, place + [name.split('@')[0].split(':')[0], name].map(x, ('_' + x).substring(size(x))).join()])[0])[0])
- name: names
  expression: >-
    variables.images.map(image, [image.substring(image.lastIndexOf('/') + 1)].map(name, ' '
      + (name.contains('@') && size(name) > name.indexOf('@') + 24 ? name.substring(0, name.indexOf('@') + 24) : name) + ' ')[0])
{{- end }}

{{/*
The variables of both policies (enforce, audit): what runs in a Pod by its namespace's PodResolvers, and which finished remedy that
gives. Each field is asked for before it is read: an expression that fails lets its Pod through unpatched.
*/}}
{{- define "libc-dns-webhook.policyVariables" -}}
- name: annotations
  expression: "has(object.metadata.annotations) ? object.metadata.annotations : {}"
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
    'kubernetes.io/arch' in variables.selector ? variables.selector['kubernetes.io/arch'] == params.spec.architecture
    : 'beta.kubernetes.io/arch' in variables.selector
    ? variables.selector['beta.kubernetes.io/arch'] == params.spec.architecture
    : variables.nodeTerms.all(t, !has(t.matchExpressions) || t.matchExpressions.all(e, e.key != 'kubernetes.io/arch'
      || (e.operator == 'In' && has(e.values) && params.spec.architecture in e.values)))
# What containers run, in the order in which that is looked for (src/pod-resolvers/images.ts).
- name: forms
  expression: >-
    variables.containers.map(c, !variables.known || !has(c.image) ? [] :
      ({{ include "libc-dns-webhook.policyBare" . }} ? ['bare'] : [])
      + (!({{ include "libc-dns-webhook.policyAlone" . }}) ? []
        : has(c.command) && size(c.command) > 0 ? ['command ' + c.command[0]]
        : has(c.args) && size(c.args) > 0 ? ['', 'args ' + c.args[0]] : ['']))
{{ include "libc-dns-webhook.policyPlaces" . }}
# The resolvers of each container: what its author declares, else what its image is known for, else unknown.
- name: found
  expression: >-
    variables.containers.transformList(i, c,
      ('libc-dns.dev/libc.' + c.name) in variables.annotations
        && variables.annotations['libc-dns.dev/libc.' + c.name] in ['glibc', 'musl', 'go', 'other']
      ? variables.annotations['libc-dns.dev/libc.' + c.name]
      : 'libc-dns.dev/libc' in variables.annotations
        && variables.annotations['libc-dns.dev/libc'] in ['glibc', 'musl', 'go', 'other']
      ? variables.annotations['libc-dns.dev/libc']
      : (variables.forms[i].map(form, params.spec.images.filter(r, variables.places[i].exists(place,
          place in params.spec.images[r] && form in params.spec.images[r][place]
          && params.spec.images[r][place][form].contains(variables.names[i]))))
        .filter(resolvers, size(resolvers) > 0) + [['unknown']])[0][0])
# All resolvers of the Pod, glibc+musl. No name is a part of another's.
- name: class
  expression: >-
    size(variables.found) == 1 && !variables.found[0].contains('+') ? variables.found[0]
    : ['glibc', 'go', 'musl', 'other', 'unknown'].filter(r, variables.found.exists(f, f.contains(r))).join('+')
- name: redirected
  expression: "has(object.spec.dnsPolicy) && object.spec.dnsPolicy == 'None'"
- name: dns
  expression: "has(object.spec.dnsConfig) ? object.spec.dnsConfig : {}"
- name: hasNameservers
  expression: "has(variables.dns.nameservers) && size(variables.dns.nameservers) > 0"
- name: ownSearches
  expression: "has(variables.dns.searches) && size(variables.dns.searches) > 0 ? 'searches' : 'plain'"
- name: virtual
  expression: >-
    params.spec.virtual.nodes.exists(n,
      variables.selector.exists(key, key + '=' + variables.selector[key] == n)
      || variables.nodeTerms.exists(t, has(t.matchExpressions) && t.matchExpressions.exists(e,
        e.operator == 'In' && has(e.values) && e.values.exists(v, e.key + '=' + v == n))))
    || (has(object.spec.schedulerName) && object.spec.schedulerName == 'fargate-scheduler')
    || (has(object.spec.tolerations)
      && object.spec.tolerations.exists(t, has(t.key) && t.key in params.spec.virtual.taints))
    || (has(object.spec.nodeName) && object.spec.nodeName.matches(params.spec.virtual.nodeName))
    || [has(object.metadata.labels) ? object.metadata.labels : {}, variables.annotations].exists(map, map.exists(key,
      key in params.spec.virtual.marks ? !(map[key] in ['false', 'off'])
      : key.startsWith(params.spec.virtual.markPrefix)
        || (key == params.spec.virtual.trueMark && map[key] == 'true')))
# Whether the Pod may run on a virtual node is asked where that makes a difference.
- name: shape
  expression: >-
    variables.redirected ? 'plain' : variables.hasNameservers ? 'nameservers'
    : !(variables.class in params.spec.classes.virtual && variables.class in params.spec.classes[variables.ownSearches]
      && params.spec.classes.virtual[variables.class] == params.spec.classes[variables.ownSearches][variables.class])
      && variables.virtual ? 'virtual'
    : variables.ownSearches
# None or one. A Pod for Windows nodes alone has none.
- name: remedies
  expression: >-
    variables.class in params.spec.classes[variables.shape]
    && !(size(variables.nodeTerms) > 0 && variables.nodeTerms.all(t, has(t.matchExpressions) && t.matchExpressions.exists(e,
      e.key in ['kubernetes.io/os', 'beta.kubernetes.io/os'] && e.operator == 'In' && has(e.values)
      && size(e.values) > 0 && e.values.all(v, v == 'windows'))))
    ? [params.spec.remedies[params.spec.classes[variables.shape][variables.class]]] : []
# An option is about the same as another by the part of its name before a colon; the two single-request options are about one thing.
- name: present
  expression: >-
    variables.dns.options.map(o, has(o.name)
      ? (o.name.split(':')[0] == 'single-request-reopen' ? 'single-request' : o.name.split(':')[0]) : '')
- name: missing
  expression: >-
    size(variables.remedies) == 0 ? []
    : !has(variables.dns.options) ? variables.remedies[0].options
    : variables.remedies[0].options.filter(o,
      !((o.name == 'single-request-reopen' ? 'single-request' : o.name) in variables.present))
- name: redirects
  expression: "size(variables.remedies) > 0 && !variables.redirected && has(variables.remedies[0].dnsPolicy)"
- name: adds
  expression: >-
    size(variables.remedies) > 0 && !variables.redirected && !variables.hasNameservers && has(variables.remedies[0].nameservers)
# musl skips an options line of more than 254 bytes, its ndots too: 8 are "options ", 8 what the kubelet may add.
- name: fits
  expression: >-
    !has(variables.dns.options) || !(variables.class.contains('musl') || variables.class.contains('unknown'))
    || variables.dns.options.map(o,
        (has(o.name) ? size(bytes(o.name)) : 0) + (has(o.value) ? size(bytes(o.value)) + 1 : 0) + 1).sum()
      + variables.missing.map(o, size(o.name) + (has(o.value) ? size(o.value) + 1 : 0) + 1).sum() <= 254 - 16
- name: changes
  expression: >-
    {{- if .Values.admissionPolicy.webhook }}
    !variables.class.contains('unknown') &&
    {{- end }}
    (size(variables.missing) > 0 || variables.redirects || variables.adds) && variables.fits
- name: decision
  expression: >-
    size(variables.remedies) == 0 ? '' : '{"reason":"' + variables.remedies[0].reason
    + '","remedy":["' + variables.remedies[0].remedy.map(r, string(r)).join('","')
    + '"],"resolvers":{'
    + variables.containers.transformList(i, c, '"' + c.name + '":"' + variables.found[i] + '"').join(',') + '}}'
{{- end }}

{{/*
The mode, for the policy for audit. As src/policy/scope.ts says: the Pod's label, but it cannot raise above its namespace's audit; the
namespace's; the configured mode. For the policy that patches selectors say the same.
*/}}
{{- define "libc-dns-webhook.policyMode" -}}
- name: podMode
  expression: >-
    has(object.metadata.labels) && 'libc-dns.dev/mode' in object.metadata.labels ? object.metadata.labels['libc-dns.dev/mode'] : ''
- name: namespaceMode
  expression: >-
    has(namespaceObject.metadata.labels) && 'libc-dns.dev/mode' in namespaceObject.metadata.labels
    ? namespaceObject.metadata.labels['libc-dns.dev/mode'] : ''
- name: mode
  expression: >-
    variables.podMode == 'enforce' && variables.namespaceMode == 'audit' ? 'audit'
    : variables.podMode in ['enforce', 'audit', 'off'] ? variables.podMode
    : variables.namespaceMode in ['enforce', 'audit', 'off'] ? variables.namespaceMode
    : {{ ternary (dig "mode" "enforce" .Values.config) "off" (eq (dig "scope" "opt-in" .Values.config) "cluster") | squote }}
{{- end }}

{{/* Pods with more are left alone: what a policy costs the API server grows with a Pod. */}}
{{- define "libc-dns-webhook.policyBounds" -}}
- name: not-too-large
  expression: >-
    size(object.spec.containers) <= 64
    && (!has(object.spec.initContainers) || size(object.spec.initContainers) <= 64)
    && (!has(object.metadata.labels) || size(object.metadata.labels) <= 256)
    && (!has(object.metadata.annotations) || size(object.metadata.annotations) <= 256)
    && (!has(object.spec.nodeSelector) || size(object.spec.nodeSelector) <= 64)
    && (!has(object.spec.tolerations) || size(object.spec.tolerations) <= 256)
    && (!has(object.spec.dnsConfig) || !has(object.spec.dnsConfig.options) || size(object.spec.dnsConfig.options) <= 64)
{{- end }}

{{/*
CEL that holds for a Pod that carries our decision about all its containers. So a policy that has decided is not evaluated again when
the API server calls all plugins once more, and is if another one has added a container.
*/}}
{{- define "libc-dns-webhook.decided" -}}
has(object.metadata.annotations) && 'libc-dns.dev/decision' in object.metadata.annotations && has(object.spec.dnsConfig)
        && object.spec.containers.all(c, object.metadata.annotations['libc-dns.dev/decision'].contains('"' + c.name + '":'))
        && (!has(object.spec.initContainers)
        || object.spec.initContainers.all(c, object.metadata.annotations['libc-dns.dev/decision'].contains('"' + c.name + '":')))
{{- end }}

{{/*
(list root operator values podValues): for namespaces whose label libc-dns.dev/mode is, or is not, one of the values; and for Pods
whose label is not one of podValues.
*/}}
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
objectSelector:
  matchExpressions:
    - { key: libc-dns.dev/mode, operator: NotIn, values: {{ index . 3 | toJson }} }
{{- end }}
