import type { z } from 'zod';

import { KubeError } from './kube-error.ts';

/** The object as its schema has it; throws {@link KubeError} (malformed), naming the first field that is not as expected. */
export function shaped<T>(schema: z.ZodType<T>, object: unknown, kind: string): T {
  const { data, error } = schema.safeParse(object);
  if (data !== undefined) return data;
  const issue = error?.issues[0];
  const where = issue?.path.join('.') || 'the answer';
  throw new KubeError('malformed', `not a ${kind}: ${where}: ${issue?.message ?? 'not as expected'}`.slice(0, 300));
}
