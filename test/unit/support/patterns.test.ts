import { describe, expect, it } from 'vitest';

import { patternsOfSource, slowText } from '../../support/patterns.ts';

const patterns = patternsOfSource();

describe('patterns that take more than linear time are found', () => {
  it.each([
    [/^(a+)+$/],
    [/^(?:(?:#[^\n]*)?\r?\n)*$/],
    [/\bapk (?:--[\w-]+ )*(?:add|upgrade)\b/u],
    [/\b(?:micro)?dnf (?:-\w+ )*install\b|\byum (?:-\w+ )*install\b/u],
    [/ubuntu-[\w.-]*(?:base|oci|rootfs)/u],
    [/\s+$/],
    [/%.*$/],
    [/(\w+)="((?:[^"\\]|\\.)*)"/],
    [/^-[a-z]*c[a-z]*$/u],
  ])('%s', ({ source, flags }) => {
    expect(slowText({ source, flags })).toBeDefined();
  });

  it.each([
    [/^\s+/],
    [/\bapk (?:--[\w-]{1,40} ){0,8}add\b/u],
    [/\bmake\b[^;&|]{0,200}\binstall\b/u],
    [/"(?:[^"\\]|\\.)*"/y],
  ])('and %s is none of them', ({ source, flags }) => {
    expect(slowText({ source, flags })).toBeUndefined();
  });
});

describe('the patterns of src take linear time', () => {
  it('as many as there are', () => {
    expect(patterns.length).toBeGreaterThan(200);
  });

  it('all of them', () => {
    const slow = patterns.flatMap((pattern) => {
      const piece = slowText(pattern);
      return piece === undefined ? [] : [{ ...pattern, piece }];
    });
    expect(slow).toEqual([]);
  }, 120_000);
});
