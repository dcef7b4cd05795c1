// @kubernetes/client-node: typed calls and an informer that survives a restart of the server.
// Prints a line per event; the test restarts the server when it reads "restart".
import * as k8s from '@kubernetes/client-node';

const [namespace] = process.argv.slice(2);
const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);

const configMap = (name, data) => ({metadata: {name, labels: {app: 'node'}}, data});
const list = () => core.listNamespacedConfigMap({namespace, labelSelector: 'app=node'});

const made = await core.createNamespacedConfigMap({namespace, body: configMap('a', {x: '1'})});
if (!made.metadata.uid) throw new Error('no uid');
try {
  await core.createNamespacedConfigMap({namespace, body: configMap('a')});
  throw new Error('made twice');
} catch (error) {
  if (error.code !== 409) throw error;
}
await core.patchNamespacedConfigMap(
  {name: 'a', namespace, body: [{op: 'add', path: '/data/y', value: '2'}]},
  k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.JsonPatch),
);
const machines = await config.makeApiClient(k8s.CustomObjectsApi).listNamespacedCustomObject(
  {group: 'kubevirt.io', version: 'v1', namespace, plural: 'virtualmachines'});
if (machines.kind !== 'VirtualMachineList') throw new Error(machines.kind);

const informer = k8s.makeInformer(
  config, `/api/v1/namespaces/${namespace}/configmaps`, list, 'app=node');
for (const verb of ['add', 'update', 'delete']) {
  informer.on(verb, (object) => console.log(verb, object.metadata.name, JSON.stringify(object.data ?? {})));
}
informer.on('connect', () => console.log('connect'));
informer.on('error', (error) => {
  console.log('error', error?.code ?? error?.message ?? String(error));
  setTimeout(() => informer.start().catch(() => informer.emit?.('error')), 250);
});
const again = async () => {
  try {
    await informer.start();
  } catch {
    setTimeout(again, 250);
  }
};
await again();
process.stdin.on('data', async (line) => {
  const [word, name] = String(line).trim().split(' ');
  if (word === 'list') console.log('cache', informer.list().map((o) => o.metadata.name).sort().join(','));
  if (word === 'get') console.log('got', informer.get(name, namespace)?.data?.x);
  if (word === 'end') { await informer.stop(); console.log('done'); process.exit(0); }
});
