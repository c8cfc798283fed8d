import { callerFaults } from './cases/callers.ts';
import { clusterFaults } from './cases/cluster.ts';
import { commandFaults } from './cases/commands.ts';
import { connectionFaults } from './cases/connections.ts';
import { hostileImageFaults } from './cases/hostile-images.ts';
import { hostileRegistryFaults } from './cases/hostile-registries.ts';
import { logFaults } from './cases/logs.ts';
import { machineFaults } from './cases/machine.ts';
import { memoryFaults } from './cases/memory.ts';
import { nameServerFault } from './cases/name-server.ts';
import { neighbourFaults } from './cases/neighbours.ts';
import { readerFaults } from './cases/reader-processes.ts';
import { replicaFaults } from './cases/replicas.ts';
import { strangerFaults } from './cases/strangers.ts';
import type { Fault } from './fault.ts';

/** All faults, in the order in which they are tried. */
export const FAULTS: readonly Fault[] = [
  ...machineFaults,
  nameServerFault,
  ...neighbourFaults,
  ...commandFaults,
  ...replicaFaults,
  ...memoryFaults,
  ...clusterFaults,
  ...callerFaults,
  ...connectionFaults,
  ...hostileImageFaults,
  ...hostileRegistryFaults,
  ...readerFaults,
  ...strangerFaults,
  ...logFaults,
];
