import { IncomingMessage } from 'node:http';

import type { Connections } from './connections.ts';

const [KIB, MIB] = [1024, 1024 * 1024];

interface BodyLimits {
  /** Bytes of the largest body. An API server takes 3 MiB for a Pod; its defaults and managed fields may double that. */
  readonly largest: number;
  /** Bytes of the largest small body. Nearly all reviews are small. */
  readonly small: number;
  /** Bytes of all small bodies that have not been passed on. */
  readonly allSmall: number;
  /** Bytes of all large bodies that have not been passed on. */
  readonly allLarge: number;
  /** Bytes of all bodies that have been passed on and not been answered. */
  readonly allUnanswered: number;
  /** Milliseconds from the headers to the end of a body. API servers send both at once. */
  readonly ms: number;
}

const LIMITS: BodyLimits = {
  largest: 7 * MIB,
  small: 64 * KIB,
  allSmall: 8 * MIB,
  allLarge: 56 * MIB,
  allUnanswered: 32 * MIB,
  ms: 5000,
};

/** What a piece of a body counts for besides its bytes. Each costs memory and time, however short it is. */
const PIECE_BYTES = 512;

/**
 * Pieces of a body that may be short; further ones must have so many bytes on average. TLS makes pieces of 16 KiB, or of what fits into
 * a packet. In 64 KiB that are read at once there may be 10,000 chunks of one byte, which take the thread 20 ms.
 */
const SHORT_PIECES = 100;
const LEAST_BYTES = 256;

/** Milliseconds between checks for bodies that take too long, while there are bodies. */
const CHECK_MS = 500;

/** Thrown if a body was not read to its end. */
class BodyError extends Error {
  override readonly name = 'BodyError';
  readonly code = 'bad-body';
  readonly statusCode: 400 | 408 | 413 | 503;

  constructor(statusCode: BodyError['statusCode'], message: string) {
    super(message);
    this.statusCode = statusCode;
  }
}

type Done = (error: Error | null, body?: Buffer) => void;

/** Bodies of a kind that have not been passed on, in the order in which they came. */
interface Share {
  readonly most: number;
  readonly bodies: Set<Body>;
  taken: number;
}

interface Body {
  readonly request: WithBody;
  readonly done: Done;
  /** As `performance.now` has it. */
  readonly began: number;
  share: Share;
  pieces: Buffer[];
  bytes: number;
  /** What it takes of its share. */
  cost: number;
  hasCome: boolean;
}

/** Of the turns of large bodies each so many is a stranger's. */
const STRANGERS_TURN = 4;

/** Key of a request's body; of its bytes once it has been passed on. */
const BODY = Symbol('body');

export interface WithBody extends IncomingMessage {
  [BODY]?: Body | number;
}

/**
 * A request whose body may be had without a stream: Node's parser hands each piece to `push`, then null. Events for pieces, and their
 * turns of the event loop, take a tenth of the processor time of a review.
 */
export class DirectRequest extends IncomingMessage {
  #take: ((piece: Buffer | null) => void) | undefined;

  /** Passes each piece to `take`, then null: at once when it comes, if none has come yet. */
  feed(take: (piece: Buffer | null) => void): void {
    if (this.complete || this.readableLength > 0) {
      this.on('data', take).on('end', () => take(null));
      return;
    }
    this.#take = take;
    // Tells Node that somebody reads: it would throw away the rest of a body that nobody has read when it was answered.
    this.read(0);
  }

  override push(piece: Buffer | null): boolean {
    if (this.#take === undefined) return super.push(piece);
    this.#take(piece);
    return true;
  }
}

export interface Bodies {
  /** Reads a body, and calls `done` with it, or with an error that has a `statusCode`. */
  read(request: WithBody & DirectRequest, done: Done): void;
  /** Call this when a request has been answered, or its caller has gone. */
  leave(request: WithBody): void;
  /** Whether so many bytes wait for answers that no further request should wait for anything. */
  readonly isCrowded: boolean;
  close(): void;
}

const isUnderWay = (body: Body): boolean => body.share.bodies.has(body);

function settle(body: Body): void {
  body.share.taken -= body.cost;
  body.share.bodies.delete(body);
  body.pieces = [];
}

function refuse(body: Body, statusCode: BodyError['statusCode'], message: string): void {
  if (!isUnderWay(body)) return;
  settle(body);
  body.done(new BodyError(statusCode, message));
}

const hasShortPieces = ({ pieces, bytes }: Body): boolean => pieces.length > SHORT_PIECES + bytes / LEAST_BYTES;

function refuseShortPieces(body: Body): void {
  refuse(body, 413, `the body came in pieces of less than ${LEAST_BYTES} bytes`);
  // Node's parser would go on with what has been read at once, and the only way to stop it is not documented.
  const { parser } = body.request.socket as { parser?: { pause?: () => void } };
  parser?.pause?.();
}

function refuseLate({ bodies }: Share, ms: number): void {
  const latest = performance.now() - ms;
  const late = [...bodies].filter(({ began, hasCome }) => !hasCome && began < latest);
  for (const body of late) refuse(body, 408, `the body did not come within ${ms / 1000} s`);
}

function move(body: Body, share: Share): void {
  body.share.taken -= body.cost;
  body.share.bodies.delete(body);
  body.share = share;
  share.taken += body.cost;
  share.bodies.add(body);
}

function add(body: Body, piece: Buffer): void {
  body.pieces.push(piece);
  body.bytes += piece.length;
  body.cost += piece.length + PIECE_BYTES;
  body.share.taken += piece.length + PIECE_BYTES;
}

function makeRoom(share: Share, isStrangers: (body: Body) => boolean): void {
  while (share.taken > share.most) {
    const all = [...share.bodies];
    const victim = all.find(isStrangers) ?? all[0];
    if (victim === undefined) return;
    refuse(victim, 503, 'too many large requests at once');
  }
}

/** Calls `next` until it returns false. After each call it pauses for as long as the call took. Returns a function that begins. */
function withPauses(next: () => boolean): () => void {
  let pause: NodeJS.Timeout | undefined;
  const run = (): void => {
    pause = undefined;
    const began = performance.now();
    if (next()) pause = setTimeout(run, performance.now() - began);
  };
  return () => {
    if (pause === undefined) run();
  };
}

/** Calls `check` once `begin`'s milliseconds have passed, and then every {@link CHECK_MS} until it returns false. */
function whileNeeded(check: () => boolean): { begin(ms: number): void; end(): void } {
  let timer: NodeJS.Timeout | undefined;
  const begin = (ms: number): void => {
    timer ??= setTimeout(() => {
      timer = undefined;
      if (check()) begin(CHECK_MS);
    }, ms).unref();
  };
  return { begin, end: () => clearTimeout(timer) };
}

/**
 * Reads bodies within limits. Counts the bytes that have come, not those that are announced. If there are too many, the oldest body
 * that has not been passed on gives way, a stranger's before one of a trusted connection: a caller that sends at once is served,
 * whatever others hold. Small bodies are passed on as soon as they have come. Large ones are passed on one at a time, with pauses in
 * which other requests are answered: a parser cannot be interrupted. Trusted connections come first but for each fourth turn: a connection
 * that an API server has just opened is a stranger's, too.
 */
export function createBodies({ isTrusted }: Pick<Connections, 'isTrusted'>, limits: BodyLimits = LIMITS): Bodies {
  const small: Share = { most: limits.allSmall, bodies: new Set(), taken: 0 };
  const large: Share = { most: limits.allLarge, bodies: new Set(), taken: 0 };
  const tooLarge = `the body is larger than ${limits.largest} bytes`;
  let unanswered = 0;
  const isStrangers = ({ request }: Body): boolean => !isTrusted(request.socket);

  const take = (body: Body, piece: Buffer): void => {
    if (!isUnderWay(body)) return;
    add(body, piece);
    if (body.bytes > limits.largest) return refuse(body, 413, tooLarge);
    if (hasShortPieces(body)) return refuseShortPieces(body);
    if (body.share === small && body.cost > limits.small) move(body, large);
    makeRoom(body.share, isStrangers);
  };
  const pass = (body: Body): void => {
    const { pieces, bytes, request, done } = body;
    settle(body);
    request[BODY] = bytes;
    unanswered += bytes;
    const [only] = pieces;
    done(null, pieces.length === 1 ? only : Buffer.concat(pieces, bytes));
  };
  let turns = 0;
  const passLarge = withPauses(() => {
    const waiting = [...large.bodies].filter(({ hasCome }) => hasCome);
    const isForStrangers = (turns += 1) % STRANGERS_TURN === 0;
    const next = waiting.find((body) => isStrangers(body) === isForStrangers) ?? waiting[0];
    if (next !== undefined) pass(next);
    return next !== undefined;
  });
  const come = (body: Body): void => {
    body.hasCome = true;
    if (body.share === large) passLarge();
    else if (isUnderWay(body)) pass(body);
  };
  const checks = whileNeeded(() => {
    for (const share of [small, large]) refuseLate(share, limits.ms);
    return small.bodies.size + large.bodies.size > 0;
  });

  return {
    read(request, done) {
      const began = performance.now();
      const body: Body = { request, done, began, share: small, pieces: [], bytes: 0, cost: 0, hasCome: false };
      request[BODY] = body;
      small.bodies.add(body);
      checks.begin(limits.ms + CHECK_MS);
      if (Number(request.headers['content-length']) > limits.largest) return refuse(body, 413, tooLarge);
      request.feed((piece) => (piece === null ? come(body) : take(body, piece)));
    },
    leave(request) {
      const body = request[BODY];
      if (typeof body === 'number') unanswered -= body;
      else if (body !== undefined) refuse(body, 400, 'aborted');
    },
    get isCrowded() {
      return unanswered > limits.allUnanswered;
    },
    close: () => checks.end(),
  };
}
