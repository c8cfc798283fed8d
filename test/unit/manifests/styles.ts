import { Document } from 'yaml';

const blocks = (documents: readonly unknown[], options: object): string =>
  documents.map((value) => new Document(value, { version: '1.1', compat: 'core' }).toString(options)).join('---\n');

const flow = (documents: readonly unknown[]): string =>
  blocks(documents, { collectionStyle: 'flow', lineWidth: 40, flowCollectionPadding: false });

/** Ways to write what is in a text, given the objects that kubectl reads in it. Each returns another text with the same objects. */
export const STYLES: Readonly<Record<string, (text: string, documents: readonly unknown[]) => string>> = {
  'as it is': (text) => text,
  'with CRLF': (text) => text.replaceAll(/\r?\n/g, '\r\n'),
  'with a byte order mark': (text) => `\uFEFF${text}`,
  'with a byte order mark behind a separator': (text) => `a: b\n---\n\uFEFF${text}`,
  'with a separator before it': (text) => `---\n${text}`,
  'with no newline at the end': (text) => text.replace(/\n$/, ''),
  'with an end of the document': (text) => `${text.replace(/\n?$/, '\n')}...\n`,
  'behind another document': (text) => `apiVersion: v1\nkind: ConfigMap\ndata: {a: "yes"}\n---\n${text}`,
  'before another document': (text) => `${text.replace(/\n?$/, '\n')}---\na: 0400 # octal\n`,
  'as block YAML': (_text, documents) => blocks(documents, { lineWidth: 0 }),
  'as block YAML with lists at the column of their keys': (_text, documents) =>
    blocks(documents, { indentSeq: false, lineWidth: 60 }),
  'as block YAML with four columns': (_text, documents) => blocks(documents, { indent: 4, singleQuote: true }),
  'as flow YAML': (_text, documents) => flow(documents),
  'as JSON objects': (_text, documents) => documents.map((value) => JSON.stringify(value, null, 2)).join('\n'),
  'as JSON objects on one line': (_text, documents) => documents.map((value) => JSON.stringify(value)).join(''),
  'as a List': (_text, documents) => JSON.stringify({ apiVersion: 'v1', kind: 'List', items: documents }, null, 4),
};
