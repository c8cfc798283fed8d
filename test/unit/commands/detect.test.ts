import { describe, expect, it } from 'vitest';

import { cli } from '../../support/cli.ts';

describe('detect', () => {
  it.each([
    [
      '/images/app.tar',
      'say what is in it: docker-archive:/images/app.tar, oci-archive:/images/app.tar or oci:/images/app.tar',
    ],
    ['./layout', 'say what is in it: docker-archive:./layout, oci-archive:./layout or oci:./layout'],
    ['app.tar.gz', 'say what is in it: docker-archive:app.tar.gz, oci-archive:app.tar.gz or oci:app.tar.gz'],
    ['web.yaml', 'for manifests: libc-dns explain web.yaml'],
  ])('says how to name %s, which is no image reference', async (image, how) => {
    const { code, out, err } = await cli(['detect', image]);
    expect([code, out, err]).toEqual([2, '', `libc-dns: ${image} is a file or a folder; ${how}\n`]);
  });

  it('says of an image that cannot be read why, and no confidence', async () => {
    const { code, out } = await cli(['detect', 'ALPINE'], { registries: true, columns: 300 });
    expect(code).toBe(1);
    expect(out.trimEnd()).toMatch(/its repository name has to be lower case \(invalid-reference\)$/);
  });
});
