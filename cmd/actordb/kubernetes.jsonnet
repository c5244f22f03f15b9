// The Kubernetes objects of a cluster of nodes that run one process network. `actordb dag
// manifests` evaluates it and prints a List, which kubectl takes as it is.
//
// A node's directory begins as `actordb cluster create` made it, from the Secret
// NAME-nodes; its volume has all else. A pod sees its own node's files and no other's.
local MiB = 1024 * 1024;
local ports = { frames: 7400, https: 7401, postgres: 5432 };

function(name, namespace, image, nodes, storage, storageClass, network, hash)
  local processes = std.objectValues(network.processes);
  local of(kind) = [p for p in processes if p.kind == kind];
  local shards = std.sum([p.count for p in of('shard')]);
  local memory = 512 * MiB  // what there is besides: actors in memory, frames, the log's windows
                 + shards * std.sum([p.limits.cache_bytes for p in of('kv')])
                 + 2 * std.sum([p.limits.memory_bytes for p in of('query')]);  // kept views, and a query
  local labels = { 'app.kubernetes.io/name': 'actordb', 'app.kubernetes.io/instance': name };
  local meta(suffix='') = { name: name + suffix, namespace: namespace, labels: labels };
  local probe = { tcpSocket: { port: 'frames' } };  // whoever speaks needs a certificate, and a port that is open has recovered

  local configuration = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: meta('-network'),
    data: { 'dag.jsonnet': std.manifestJsonEx(network, '  ') + '\n' },
  };

  // Each pod under a name of its own, also before it is ready: replicas find each other to become so.
  local peers = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: meta('-nodes'),
    spec: {
      clusterIP: 'None',
      publishNotReadyAddresses: true,
      selector: labels,
      ports: [{ name: 'frames', port: ports.frames, targetPort: 'frames' }],
    },
  };

  local clients = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: meta(),
    spec: {
      selector: labels,
      ports: [{ name: p, port: ports[p], targetPort: p } for p in std.objectFields(ports)],
    },
  };

  // Whatever drains machines takes one node at a time: the others are a majority.
  local budget = {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: meta(),
    spec: { maxUnavailable: 1, selector: { matchLabels: labels } },
  };

  local container = {
    name: 'actordb',
    image: image,
    command: ['actordb'],
    args: [
      'serve',
      '--dir',
      '/var/lib/actordb/node',
      '--seed',
      '/etc/actordb/node',
      '--dag',
      '/etc/actordb/network/dag.jsonnet',
      '--listen',
      '0.0.0.0:%d' % ports.frames,
      '--web',
      '0.0.0.0:%d' % ports.https,
      '--postgres',
      '0.0.0.0:%d' % ports.postgres,
      '--log',
      'json',
    ],
    env: [{ name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
    ports: [{ name: p, containerPort: ports[p] } for p in std.objectFields(ports)],
    // A node reads its journals before it listens: that may take long, and must not be cut off.
    startupProbe: probe { periodSeconds: 5, failureThreshold: 720 },
    readinessProbe: probe { periodSeconds: 5 },
    livenessProbe: probe { periodSeconds: 10, failureThreshold: 6 },
    resources: {
      requests: { cpu: std.toString(shards), memory: '%dMi' % std.ceil(memory / MiB) },
      limits: { memory: '%dMi' % std.ceil(2 * memory / MiB) },
    },
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    volumeMounts: [
      { name: 'data', mountPath: '/var/lib/actordb' },
      { name: 'node', mountPath: '/etc/actordb/node', subPathExpr: '$(POD_NAME)', readOnly: true },
      { name: 'network', mountPath: '/etc/actordb/network', readOnly: true },
    ],
  };

  local files = ['node.json', 'cluster.json', 'identity.pem'];
  local place(file) = if file == 'identity.pem' then 'identity/' + file else file;

  local set = {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: meta(),
    spec: {
      serviceName: name + '-nodes',
      replicas: nodes,
      podManagementPolicy: 'Parallel',  // one alone is no majority, and never ready
      updateStrategy: { type: 'RollingUpdate' },
      selector: { matchLabels: labels },
      template: {
        metadata: { labels: labels, annotations: { 'actordb/network': hash } },  // another network: the pods are exchanged
        spec: {
          terminationGracePeriodSeconds: 60,
          securityContext: {
            runAsNonRoot: true,
            runAsUser: 65532,
            runAsGroup: 65532,
            fsGroup: 65532,
            fsGroupChangePolicy: 'OnRootMismatch',
            seccompProfile: { type: 'RuntimeDefault' },
          },
          affinity: {
            podAntiAffinity: {
              requiredDuringSchedulingIgnoredDuringExecution: [
                { labelSelector: { matchLabels: labels }, topologyKey: 'kubernetes.io/hostname' },
              ],
            },
          },
          topologySpreadConstraints: [{
            maxSkew: 1,
            topologyKey: 'topology.kubernetes.io/zone',
            whenUnsatisfiable: 'ScheduleAnyway',
            labelSelector: { matchLabels: labels },
          }],
          containers: [container],
          volumes: [
            {
              name: 'node',
              secret: {
                secretName: name + '-nodes',
                defaultMode: 288,  // 0440: the group is the pod's
                items: [
                  { key: '%s-%d.%s' % [name, i, file], path: '%s-%d/%s' % [name, i, place(file)] }
                  for i in std.range(0, nodes - 1)
                  for file in files
                ],
              },
            },
            { name: 'network', configMap: { name: name + '-network' } },
          ],
        },
      },
      volumeClaimTemplates: [{
        metadata: { name: 'data', labels: labels },
        spec: {
          accessModes: ['ReadWriteOnce'],
          [if storageClass != '' then 'storageClassName']: storageClass,
          resources: { requests: { storage: storage } },
        },
      }],
    },
  };

  { apiVersion: 'v1', kind: 'List', items: [configuration, peers, clients, budget, set] }
