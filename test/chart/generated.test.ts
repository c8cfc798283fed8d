import { parse } from 'yaml';
import { describe, expect, it } from 'vitest';

import { configSchema } from '../../src/config/schema.ts';
import { currentText, generatedFiles } from './generate.ts';
import { hasHelm } from './helm.ts';
import { configJsonSchema, keyTexts, leaves, valueComments, valuesJsonSchema, valuesText } from './json-schema.ts';
import { valuesSchema } from './values-schema.ts';

describe('the configuration page', () => {
  const keys = leaves(configJsonSchema()).map(([path]) => path);

  it('explains every key, and none that is not there', () => {
    const texts = keyTexts();
    expect(keys.filter((key) => (texts[key] ?? '') === '')).toEqual([]);
    expect(Object.keys(texts).filter((key) => !keys.includes(key))).toEqual([]);
  });

  it('shows defaults that are read as if nothing were configured', () => {
    const yaml = /```yaml\n([\s\S]*?)```/.exec(currentText('docs/configuration.md') ?? '')?.[1] ?? '';
    expect(configSchema.parse(parse(yaml))).toEqual(configSchema.parse({}));
  });
});

describe('values.yaml', () => {
  it('gives every value its default', () => {
    const values = parse(valuesText()) as Record<string, unknown>;
    expect(valuesSchema.safeParse(values)).toMatchObject({ success: true });
    expect(Object.keys(values).toSorted()).toEqual(Object.keys(valuesSchema.shape).toSorted());
  });
});

describe('the explanations of values', () => {
  it('are there for each, its own or that of what it stands in', () => {
    const texts = valueComments();
    const explained = (path: string): boolean =>
      path !== '' && (texts.has(path) || explained(path.slice(0, Math.max(0, path.lastIndexOf('.')))));
    const { config: _ownPage, ...properties } = valuesJsonSchema().properties ?? {};
    const all = leaves({ properties }).map(([path]) => path);
    expect(all.filter((path) => !explained(path))).toEqual([]);
  });
});

describe.runIf(hasHelm())('what is generated', () => {
  it('is current: manifests, values.schema.json, pages and golden files (npm run generate)', () => {
    const stale = [...generatedFiles()].filter(([path, text]) => currentText(path) !== text).map(([path]) => path);
    expect(stale).toEqual([]);
  });
});
