{{/*
Labels of every object but the CRD; ours go before commonLabels. Call with (dict "root" $ "component" "controller"), as all
helpers that are about a component.
*/}}
{{- define "holdfast.labels" -}}
{{- $own := dict
  "app.kubernetes.io/version" .root.Chart.AppVersion
  "app.kubernetes.io/part-of" "holdfast"
  "app.kubernetes.io/managed-by" .root.Release.Service
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") -}}
{{- merge (include "holdfast.selector" . | fromYaml) $own (.root.Values.commonLabels | default dict) | toYaml -}}
{{- end }}

{{/* Says what is wrong with values that lack the defaults of this version, before a template stumbles over them. */}}
{{- define "holdfast.checkValues" -}}
{{- if not (hasKey .Values "uninstallNotice") -}}
{{- fail "these are the values of an older version of this chart: upgrade with --reset-then-reuse-values instead of --reuse-values" -}}
{{- end -}}
{{- end }}

{{/* Labels and annotations of an object; "annotations" in the argument go before commonAnnotations. */}}
{{- define "holdfast.metadata" -}}
{{- include "holdfast.checkValues" .root -}}
labels:
  {{- include "holdfast.labels" . | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) (.root.Values.commonAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The values of the component: .Values.controller or .Values.webhook. */}}
{{- define "holdfast.componentValues" -}}
{{- get .root.Values .component | toJson -}}
{{- end }}

{{/* A map among the values that both pods have, and over it that of the component: "key" says which. JSON. */}}
{{- define "holdfast.merged" -}}
{{- $all := get .root.Values .key | default dict | deepCopy -}}
{{- mergeOverwrite $all (get (get .root.Values .component) .key | default dict) | toJson -}}
{{- end }}

{{- define "holdfast.selector" -}}
app.kubernetes.io/name: holdfast
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "holdfast.image" -}}
{{- $own := (include "holdfast.componentValues" . | fromJson).image -}}
{{- with .root.Values.image.registry }}{{ . }}/{{ end }}{{ $own.repository }}
{{- if $own.digest }}@{{ $own.digest }}{{ else }}:{{ $own.tag | default .root.Values.image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "holdfast.probesPort" -}}
{{- if eq .component "webhook" }}{{ .root.Values.webhook.probesPort }}{{ else }}8081{{ end }}
{{- end }}

{{/* Metadata of a pod template; "podAnnotations" in the argument are added. */}}
{{- define "holdfast.podMetadata" -}}
{{- $labels := include "holdfast.merged" (merge (dict "key" "podLabels") .) | fromJson -}}
{{- $annotations := include "holdfast.merged" (merge (dict "key" "podAnnotations") .) | fromJson -}}
labels:
  {{- merge (include "holdfast.labels" . | fromYaml) $labels | toYaml | nindent 2 }}
{{- $scrape := dict }}
{{- if .root.Values.metrics.scrapeAnnotations }}
{{- $scrape = dict "prometheus.io/scrape" "true" "prometheus.io/port" (include "holdfast.probesPort" .) "prometheus.io/path" "/metrics" }}
{{- end }}
{{- with merge (dict) $annotations $scrape (.podAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What both pods have in common, less containers and affinity. */}}
{{- define "holdfast.podSpec" -}}
{{- $own := include "holdfast.componentValues" . | fromJson -}}
serviceAccountName: holdfast-{{ .component }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.priorityClassName | default .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with include "holdfast.merged" (merge (dict "key" "nodeSelector") .) | fromJson }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations | default .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{- merge (deepCopy .) (dict "labelSelector" (dict "matchLabels" (include "holdfast.selector" $ | fromYaml))) | toYaml | nindent 4 }}
  {{- end }}
{{- end }}
{{- with include "holdfast.merged" (merge (dict "key" "podSecurityContext") .) | fromJson }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The specification of a PodDisruptionBudget, from the component's value. */}}
{{- define "holdfast.disruptionBudget" -}}
{{- $budget := (include "holdfast.componentValues" . | fromJson).podDisruptionBudget -}}
{{- if ne (toString $budget.minAvailable) "" }}
minAvailable: {{ $budget.minAvailable }}
{{- else }}
maxUnavailable: {{ $budget.maxUnavailable }}
{{- end }}
unhealthyPodEvictionPolicy: AlwaysAllow
selector:
  matchLabels:
    {{- include "holdfast.selector" . | nindent 4 }}
{{- end }}

{{/* What both containers have in common, less args, ports and resources. */}}
{{- define "holdfast.container" -}}
{{- include "holdfast.program" . }}
livenessProbe:
  httpGet:
    path: /healthz
    port: probes
  initialDelaySeconds: 10
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 5
readinessProbe:
  httpGet:
    path: /readyz
    port: probes
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
{{- end }}

{{/* The same of a container that serves nothing. The program is found by PATH, so that any image with it in one of the usual
places will do, whatever its entry point. */}}
{{- define "holdfast.program" -}}
image: {{ include "holdfast.image" . | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
env:
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  - name: POD_NAMESPACE
    valueFrom:
      fieldRef:
        fieldPath: metadata.namespace
  - name: POD_IP
    valueFrom:
      fieldRef:
        fieldPath: status.podIP
  # Few arenas of glibc's allocator: each thread of its own keeps what it has once needed.
  - name: MALLOC_ARENA_MAX
    value: "2"
  # What is large (bytes) goes back to the system as soon as it is free. Left to itself, glibc keeps up to 64 MiB of it.
  - name: MALLOC_MMAP_THRESHOLD_
    value: "262144"
  {{- with (include "holdfast.componentValues" . | fromJson).extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with include "holdfast.merged" (merge (dict "key" "securityContext") .) | fromJson }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Flags that both binaries have. */}}
{{- define "holdfast.args" -}}
{{- if eq .root.Values.clusters.role "Source" }}
- {{ printf "--target-kubeconfig=/etc/holdfast-target/%s" .root.Values.clusters.targetKubeconfig.key | quote }}
{{- end }}
- {{ printf "--bind-ip=%s" .root.Values.bindAddress | quote }}
- --probes-address=:{{ include "holdfast.probesPort" . }}
- --owned-by-service-account
- --default-protection={{ .root.Values.protection.default }}
- --log-format={{ .root.Values.log.format }}
- {{ printf "--log-level=%s" .root.Values.log.level | quote }}
{{- end }}

{{/* User names of our own two service accounts, as JSON list. */}}
{{- define "holdfast.ownUsers" -}}
{{- $prefix := printf "system:serviceaccount:%s:" .Release.Namespace -}}
{{- list (print $prefix "holdfast-controller") (print $prefix "holdfast-webhook") | toJson -}}
{{- end }}

{{/*
Whether nobody is asked about a user's edits: a CEL expression. A list written in JSON is a list in CEL.
A user may be in no group at all; then the field is missing. In a target cluster of its own the webhook adds the condition
`not-holdfast`, since it alone knows who it is there; what the chart does not mention, upgrades leave alone.
*/}}
{{- define "holdfast.isExempt" -}}
{{- $file := .Files.Get "files/exempt-users.yaml" | fromYaml -}}
{{- $users := concat $file.users (.Values.webhook.exempt.users | default list) -}}
{{- range $file.controllers }}
{{- $users = append $users (printf "system:serviceaccount:kube-system:%s" .) }}
{{- end -}}
{{- if ne .Values.clusters.role "Target" }}
{{- $users = concat (include "holdfast.ownUsers" . | fromJsonArray) $users }}
{{- end -}}
{{- $groups := concat $file.groups (.Values.webhook.exempt.groups | default list) -}}
request.userInfo.username in {{ $users | toJson }} ||
has(request.userInfo.groups) && request.userInfo.groups.exists(g, g in {{ $groups | toJson }})
{{- end }}

{{/* matchConditions that keep the reviews of exempt users away from the webhook. One, as each costs every write. */}}
{{- define "holdfast.exemptions" -}}
- name: not-exempt
  expression: |-
    !({{ include "holdfast.isExempt" . | nindent 4 }})
{{- end }}

{{/*
The same, and nobody is asked about updates either that change nothing but labels and annotations of others, which are
anybody's: the API server sees by itself that this is so. Whatever might matter is asked about, and what is large, too, before
it is looked at: an expression that costs too much would be an edit that nobody judges. The webhook comes to the same result
(shared/core/src/protect/changes.rs); it is only asked less often.
*/}}
{{- define "holdfast.occasions" -}}
- name: not-free
  expression: |-
    !({{ include "holdfast.isExempt" . | nindent 4 }}) && (
    request.operation != 'UPDATE' || request.?subResource.orValue('') != '' ||
    [oldObject, object].exists(o, size(o) > 32 || !has(o.metadata) || size(o.metadata.?managedFields.orValue([])) > 64 ||
    ['labels', 'annotations'].exists(m, size(o.metadata[?m].orValue({})) > 64)) ||
    oldObject.exists(k, k != 'metadata' && !(k in object && object[k] == oldObject[k])) ||
    object.exists(k, !(k in oldObject)) ||
    object.metadata.?finalizers != oldObject.metadata.?finalizers ||
    object.metadata.?ownerReferences != oldObject.metadata.?ownerReferences ||
    'resources.gardener.cloud/force-overwrite' in oldObject.metadata.?annotations.orValue({}) ||
    ![[oldObject, object].map(o, o.metadata.?managedFields.orValue([])
    .filter(e, e.?manager.orValue('holdfast').startsWith('holdfast')))].all(own, size(own[0]) > 0 && own[0] == own[1] &&
    ['labels', 'annotations'].all(m,
    [oldObject.metadata[?m].orValue({})].all(before, [object.metadata[?m].orValue({})].all(after,
    (before.filter(k, !(k in after) || after[k] != before[k]) + after.filter(k, !(k in before)))
    .all(k, !k.contains('resources.gardener.cloud/') && !own[0].exists(e,
    ('f:' + k) in e.?fieldsV1.orValue({})[?'f:metadata'].orValue({})[?('f:' + m)].orValue({}))))))))
{{- end }}

{{/*
How the API server reaches the webhook. Without caBundle: the webhook registers its own at start. A field that the chart
never mentions is nobody's but the webhook's, so upgrades leave it alone (server-side apply as well as Helm's three-way merge).
*/}}
{{- define "holdfast.clientConfig" -}}
clientConfig:
  {{- if eq .root.Values.clusters.role "Target" }}
  url: {{ print (include "holdfast.advertiseURL" .root) .path | quote }}
  {{- else }}
  service:
    name: holdfast-webhook
    namespace: {{ .root.Release.Namespace }}
    port: {{ .root.Values.webhook.servicePort }}
    path: {{ .path }}
  {{- end }}
admissionReviewVersions: [v1]
sideEffects: NoneOnDryRun
timeoutSeconds: {{ .root.Values.webhook.timeoutSeconds }}
{{- end }}

{{/* Metadata that both webhook configurations have in common, less the name. */}}
{{- define "holdfast.registration" -}}
{{- $annotations := .Values.webhook.configurationAnnotations | default dict -}}
{{- if eq .Values.webhook.certificates.source "CertManager" -}}
{{- if ne .Values.clusters.role "Both" -}}
{{- fail "webhook.certificates.source=CertManager knows one cluster: with clusters.role, use Files" -}}
{{- end -}}
{{- $certificate := required "webhook.certificates.certificate: the name of a cert-manager Certificate" .Values.webhook.certificates.certificate -}}
{{- $annotations = merge (dict "cert-manager.io/inject-ca-from" (printf "%s/%s" .Release.Namespace $certificate)) $annotations -}}
{{- end -}}
{{- include "holdfast.metadata" (dict "root" . "component" "webhook" "annotations" $annotations) -}}
{{- end }}

{{- define "holdfast.advertiseURL" -}}
{{- required "clusters.advertiseURL: where the target's API server reaches the webhook" .Values.clusters.advertiseURL | trimSuffix "/" -}}
{{- end }}

{{/* The kubeconfig of a target cluster of its own, in both pods. */}}
{{- define "holdfast.volumes" -}}
{{- if eq .root.Values.clusters.role "Source" }}
- name: target-kubeconfig
  secret:
    secretName: {{ required "clusters.targetKubeconfig.secretName: a Secret with a kubeconfig" .root.Values.clusters.targetKubeconfig.secretName }}
{{- end }}
{{- end }}

{{- define "holdfast.volumeMounts" -}}
{{- if eq .root.Values.clusters.role "Source" }}
- name: target-kubeconfig
  mountPath: /etc/holdfast-target
  readOnly: true
{{- end }}
{{- end }}

{{/* Of the controller's pods: its configuration file, and what the values add. */}}
{{- define "holdfast.controllerVolumes" -}}
{{- if .Values.controller.config }}
- name: config
  configMap:
    name: holdfast-controller
{{- end }}
{{- with .Values.controller.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "holdfast.controllerMounts" -}}
{{- if .Values.controller.config }}
- name: config
  mountPath: /etc/holdfast
  readOnly: true
{{- end }}
{{- with .Values.controller.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Managed objects. Those marked "off" never reach the webhook. */}}
{{- define "holdfast.managedObjects" -}}
objectSelector:
  matchExpressions:
    - key: resources.gardener.cloud/protection
      operator: In
      values: [deny, revert, warn]
{{- end }}

{{/*
Whether the admission policy is wanted here. It belongs where managed objects are, and the chart renders it only where that is the
cluster that it is installed in.
*/}}
{{- define "holdfast.guards" -}}
{{- $target := get .Values.controller.config "targetClientConnection" | default dict -}}
{{- if and .Values.guard.enabled (ne .Values.clusters.role "Source") (not (get $target "kubeconfig")) }}true{{ end -}}
{{- end }}

{{/*
The controller's configuration file: the chart's values, and controller.config over them. The original's second spelling of
managedResource is written as the first, so that both are one section.
*/}}
{{- define "holdfast.config" -}}
{{- $values := .Values.controller -}}
{{- $config := deepCopy $values.config -}}
{{- $controllers := get $config "controllers" | default dict -}}
{{- if hasKey $controllers "managedResources" -}}
{{- $section := mergeOverwrite (get $controllers "managedResource" | default dict) (get $controllers "managedResources" | default dict) -}}
{{- $_ := set $controllers "managedResource" $section -}}
{{- $_ := unset $controllers "managedResources" -}}
{{- end -}}
{{- $section := dict
  "managedByLabelValue" $values.managedBy
  "syncPeriod" $values.resyncPeriod
  "repair" $values.repair
  "prune" $values.prune
  "concurrentSyncs" (int $values.concurrentSyncs)
  "concurrentRequests" (int $values.concurrentRequests) -}}
{{- if not $values.managedResource.enabled -}}
{{- $_ := set $section "enabled" false -}}
{{- end -}}
{{- $base := dict
  "apiVersion" "resourcemanager.config.gardener.cloud/v1alpha1"
  "kind" "ResourceManagerConfiguration"
  "sourceClientConnection" (dict "qps" (int $values.qps) "burst" (int $values.burst))
  "controllers" (dict "resourceClass" $values.class "managedResource" $section) -}}
{{- mergeOverwrite $base $config | toYaml -}}
{{- end }}

{{/* Name and namespace of the Lease, and the namespaces of ManagedResources if they are restricted: a dict as JSON. */}}
{{- define "holdfast.source" -}}
{{- $config := .Values.controller.config -}}
{{- $election := get $config "leaderElection" | default dict -}}
{{- $connection := get $config "sourceClientConnection" | default dict -}}
{{- $controllers := get $config "controllers" | default dict -}}
{{- dict
  "lease" (get $election "resourceName" | default "gardener-resource-manager")
  "namespace" (get $election "resourceNamespace" | default .Release.Namespace)
  "namespaces" (get $connection "namespaces" | default list)
  "asksIdentity" (has (get $controllers "clusterID") (list "<cluster>" "<default>")) | toJson -}}
{{- end }}

{{/* What the controller needs where ManagedResources are. */}}
{{- define "holdfast.sourceRules" -}}
- apiGroups: [resources.gardener.cloud]
  resources: [managedresources]
  verbs: [list, watch, patch]
- apiGroups: [resources.gardener.cloud]
  resources: [managedresources/status]
  verbs: [update]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* The webhook registers its CA in its own configurations, unless cert-manager does. List and watch with a field selector. */}}
{{- define "holdfast.registrationRules" -}}
{{- $verbs := list "get" "list" "watch" -}}
{{- if ne .Values.webhook.certificates.source "CertManager" -}}
{{- $verbs = append $verbs "patch" -}}
{{- end -}}
- apiGroups: [admissionregistration.k8s.io]
  resources: [validatingwebhookconfigurations]
  resourceNames: [holdfast]
  verbs: {{ $verbs | toJson }}
{{- if ne .Values.clusters.role "Source" }}
- apiGroups: [admissionregistration.k8s.io]
  resources: [mutatingwebhookconfigurations]
  resourceNames: [zz-holdfast]
  verbs: {{ $verbs | toJson }}
{{- end }}
{{- end }}
