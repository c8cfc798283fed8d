/** The value of a scalar. Whole numbers beyond 2^53 that fit into 64 bits are bigints. */
export type ScalarValue = string | number | bigint | boolean | null;

/** Thrown for a scalar that Kubernetes does not read, like `.inf`, which JSON cannot hold. */
export class ScalarError extends Error {
  override readonly name = 'ScalarError';
}

const TRUE = /^(?:y|Y|yes|Yes|YES|true|True|TRUE|on|On|ON)$/;
const FALSE = /^(?:n|N|no|No|NO|false|False|FALSE|off|Off|OFF)$/;
const NULL = /^(?:|~|null|Null|NULL)$/;
const NOT_FINITE = /^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/;
const INTEGER = /^([-+]?)(?:0[xX]([\da-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9]\d*))$/;
const FLOAT = /^[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?$/;
/** A float that begins with its point has no sign, and underscores only between digits. */
const POINT_FLOAT = /^\.\d+(?:_\d+)*(?:[eE][-+]?\d+(?:_\d+)*)?$/;

const MAX_INT64 = 2n ** 63n - 1n;
const MIN_INT64 = -(2n ** 63n);
const MAX_UINT64 = 2n ** 64n - 1n;

/**
 * Returns the value of an unquoted scalar as sigs.k8s.io/yaml reads it: words and numbers of YAML 1.1, but no numbers of base 60, and dates
 * are strings. Throws {@link ScalarError} for `.inf` and `.nan`. Source: `resolve` in goyaml.v2/resolve.go of sigs.k8s.io/yaml.
 */
export function plainScalar(text: string): ScalarValue {
  if (NULL.test(text)) return null;
  if (TRUE.test(text)) return true;
  if (FALSE.test(text)) return false;
  if (NOT_FINITE.test(text)) throw new ScalarError(`${text} is no number that JSON can hold`);
  if (!/^[-+.\d]/.test(text) || (text.startsWith('.') && !POINT_FLOAT.test(text))) return text;
  const digits = withoutUnderscores(text);
  return integer(digits) ?? (FLOAT.test(digits) ? finite(digits) : undefined) ?? text;
}

const withoutUnderscores = (text: string): string => text.replaceAll('_', '');

function integer(digits: string): number | bigint | undefined {
  const match = INTEGER.exec(digits);
  if (match === null) return undefined;
  const [, sign, hex, bits, octal, decimal] = match;
  const size = BigInt(decimal ?? (hex ? `0x${hex}` : bits ? `0b${bits}` : `0o${octal}`));
  const value = sign === '-' ? -size : size;
  // Kubernetes reads what fits no int64 as a float.
  if (value > MAX_INT64) return sign === '' && value <= MAX_UINT64 ? Number(value) : undefined;
  if (value < MIN_INT64) return undefined;
  return BigInt(Number(value)) === value && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

/** Returns a number; undefined if it is too large for a float, and then Kubernetes reads a string. */
function finite(digits: string): number | undefined {
  const value = Number(digits);
  return Number.isFinite(value) ? value + 0 : undefined;
}

/** Returns the value of a scalar with a tag of `tag:yaml.org,2002:`, given the tag's last part. */
export function taggedScalar(tag: string, text: string): ScalarValue {
  if (tag === 'str' || tag === 'timestamp') return text;
  if (tag === 'binary') return binary(text);
  const value = plainScalar(text);
  const holds = {
    bool: typeof value === 'boolean',
    int: integer(withoutUnderscores(text)) !== undefined,
    float: typeof value === 'number' || typeof value === 'bigint',
    null: value === null,
  }[tag];
  // Tags that it does not know leave the text.
  if (holds === undefined) return text;
  if (!holds) throw new ScalarError(`"${text}" is not of the type that its tag !!${tag} says`);
  return value;
}

function binary(text: string): string {
  const base64 = text.replaceAll(/[\r\n]/g, '');
  if (base64.length % 4 !== 0 || !/^[A-Za-z\d+/]*={0,2}$/.test(base64)) throw new ScalarError('!!binary is no base64');
  return Buffer.from(base64, 'base64').toString('utf8');
}

/** Returns a mapping's key as the string that JSON has for it; undefined for null, which is no key. */
export function keyText(value: ScalarValue): string | undefined {
  if (value === null) return undefined;
  return typeof value === 'number' && !Number.isInteger(value) ? float32Text(value) : String(value);
}

/** Formats a float key as strconv.FormatFloat(value, 'g', -1, 32) does: the shortest text that is the same float32. */
function float32Text(value: number): string {
  for (let digits = 1; digits < 10; digits += 1) {
    const text = value.toExponential(digits - 1);
    if (Math.fround(Number(text)) !== Math.fround(value)) continue;
    const [mantissa = '', exponent = ''] = text.split('e');
    const size = Number(exponent);
    if (size >= -4 && size < 6) return String(Number(text));
    return `${mantissa}e${size < 0 ? '-' : '+'}${String(Math.abs(size)).padStart(2, '0')}`;
  }
  return String(value);
}
