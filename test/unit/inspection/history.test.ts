import { describe, expect, it } from 'vitest';

import type { ImageConfig, ImageManifest } from '../../../src/detection/image-source.ts';
import {
  agreedHint,
  buildpacksLayers,
  fetchesProgram,
  glibcOnMusl,
  hintsOf,
  historyLine,
  layerHistory,
  layerLikelihood,
  likelihood,
  mayFill,
  mayReplace,
} from '../../../src/inspection/history.ts';
import { baseLibcApplies } from '../../../src/inspection/verdict.ts';

const paths = ['opt/tools/bin/server'];
const size = 100_000;
const made = (text: string | undefined) => (text === undefined ? undefined : historyLine(text));

function config(lines: readonly string[], labels: Readonly<Record<string, string>> = {}): ImageConfig {
  const history = lines.map((createdBy) => ({ createdBy, emptyLayer: createdBy.startsWith('CMD') }));
  return { entrypoint: [], cmd: [], env: [], workingDir: '/', labels, history };
}

function manifest(layers: number, annotations: Readonly<Record<string, string>> = {}): ImageManifest {
  const descriptor = { mediaType: 'x', digest: 'sha256:0', size };
  const platform = { os: 'linux', architecture: 'amd64' };
  const all = Array.from({ length: layers }, () => descriptor);
  return { digest: 'sha256:1', platform, config: descriptor, layers: all, annotations };
}

describe('which layer holds a program, by the line that made it', () => {
  it.each([
    ['COPY server /opt/tools/bin/server # buildkit', likelihood.named],
    ['COPY --chown=1:1 --from=build /out/server /opt/tools/bin/ # buildkit', likelihood.named],
    ['COPY /out /opt/tools # buildkit', likelihood.likely],
    ['COPY rootfs/ / # buildkit', likelihood.possible],
    ['COPY server.conf /etc/ # buildkit', likelihood.mentioned],
    ['COPY nginx.conf /etc/ # buildkit', likelihood.no],
    ['COPY . . # buildkit', likelihood.possible],
    ['ADD https://example.com/server /opt/tools/bin/server # buildkit', likelihood.named],
    ['/bin/sh -c #(nop) COPY file:abc in /opt/tools/bin/server ', likelihood.named],
    ['/bin/sh -c #(nop) COPY dir:abc in /opt/tools/ ', likelihood.likely],
    ['/bin/sh -c #(nop) ADD file:abc in /srv/ ', likelihood.no],
    ['RUN /bin/sh -c curl -o server https://example.com # buildkit', likelihood.mentioned],
    ['RUN /bin/sh -c chown -R app /opt/tools # buildkit', likelihood.possible],
    ['RUN /bin/sh -c apk add nginx # buildkit', likelihood.possible],
    ['RUN /bin/sh -c adduser app # buildkit', likelihood.unlikely],
    ['RUN /bin/sh -c observers # buildkit', likelihood.unlikely],
    [undefined, likelihood.possible],
  ])('%s', (text, expected) => {
    expect(layerLikelihood(made(text), size, paths, false)).toBe(expected);
  });

  it("a supervisor's services may be in a base of one layer, not in a distribution's", () => {
    expect(mayFill(made('apko'), size, 'sv', true)).toBe(true);
    expect(mayFill(made('ADD alpine-minirootfs-3.22.2-x86_64.tar.gz / # buildkit'), size, 'sv', true)).toBe(true);
    expect(mayFill(made("# debian.sh --arch 'amd64' out/ 'trixie'"), size, 'sv', true)).toBe(false);
  });

  // https://github.com/buildpacks/lifecycle/blob/main/layers/factory.go
  it.each([
    ["Layer: 'jre', Created by buildpack: example/jvm@1.2", 'layers/example_jvm/jre/bin/java', likelihood.likely],
    ["Layer: 'jre', Created by buildpack: example/jvm@1.2", 'layers/example_jvm/jdk/bin/java', likelihood.no],
    ["Layer: 'RUN x', Created by extension: example/tool@1", 'usr/bin/x', likelihood.unlikely],
    ['Application Layer', 'workspace/server', likelihood.likely],
    ['Application Slice: 2', 'workspace/server', likelihood.likely],
    ['Application Slice: 2', 'usr/bin/server', likelihood.no],
    ['Buildpacks Launcher Config', 'layers/config/metadata.toml', likelihood.likely],
    ['Buildpacks Process Types', 'cnb/process/web', likelihood.likely],
    ['Buildpacks Application Launcher', 'cnb/lifecycle/launcher', likelihood.likely],
    ['Software Bill-of-Materials', 'layers/sbom/launch/x.json', likelihood.likely],
    ['constructor', 'workspace/server', likelihood.possible],
  ])('Buildpacks: %s, %s', (text, path, expected) => {
    const [, line] = layerHistory(manifest(2), config(['base', text]));
    expect(layerLikelihood(line, size, [path], false)).toBe(expected);
  });

  it("the directories of Buildpacks' layers", () => {
    const lines = [
      'COPY java /layers/example_java/jre/bin/java',
      "Layer: 'jre', Created by buildpack: example/java@1.2",
      "Layer: 'app', Created by buildpack: example/app",
      'Buildpacks Launcher Config',
      'Application Layer',
      'COPY x /layers/x',
    ];
    const expected = ['/layers/example_java/jre', '/layers/example_app/app'];
    expect(buildpacksLayers([undefined, ...lines.map(historyLine)])).toEqual(expected);
  });

  it.each([
    ['RUN /bin/sh -c ln -s /etc/sv/web /etc/service/web', true],
    ['RUN /bin/sh -c ln -s /etc/sv/web /etc/service/', true],
    ['RUN /bin/sh -c rm -r /etc/services', false],
    ['RUN /bin/sh -c mkdir /etc/sv', false],
  ])('"%s" may make a service of /etc/service: %s', (line, may) => {
    expect(mayFill(made(line), size, 'etc/service', false)).toBe(may);
  });

  it('an empty layer holds nothing; a base holds what distributions place', () => {
    expect(layerLikelihood(made('RUN server'), 32, paths, false)).toBe(likelihood.no);
    expect(layerLikelihood(made('ADD file:abc in /'), size, ['usr/bin/bash'], true)).toBe(likelihood.possible);
    expect(layerLikelihood(made('ADD file:abc in /'), size, paths, true)).toBe(likelihood.unlikely);
  });

  it.each([
    ['RUN make && make install', true],
    ['RUN rm /opt/tools/bin/server', true],
    ['RUN rm -r /opt/tools', true],
    ['RUN rm -r /opt/toolset /var/cache', false],
    ['RUN mv /tmp/server /opt', true],
    ['RUN chmod +x /opt/tools/bin/server', false],
    ['RUN rm /etc/server/conf.d/default.conf', false],
    ['RUN cp /tmp/server /opt/tools/bin/', true],
    ['COPY rm /opt/tools', false],
    [undefined, false],
  ])('%s may replace it: %s', (text, expected) => {
    expect(mayReplace(made(text), paths)).toBe(expected);
  });

  it('history counts only where it has a line for each layer', () => {
    expect(layerHistory(manifest(2), config(['ADD a', 'CMD b', 'COPY c d']))).toMatchObject([
      { text: 'ADD a' },
      { text: 'COPY c d' },
    ]);
    expect(layerHistory(manifest(2), config(['ADD a']))).toEqual([undefined, undefined]);
  });

  it.each([
    ['RUN /bin/sh -c make # buildkit', true],
    ['/bin/sh -c make', true],
    ['|1 A=b /bin/sh -c make', true],
    ['/bin/bash -o pipefail -c make', true],
    ['jib-maven-plugin:3.4.3', true],
    ['ko build ko://example.com/app', true],
    ['bazel build ...', true],
    ['Buildpacks Launcher Config', true],
    ["Layer: 'node', Created by buildpack: acme/node@1.0.0", true],
    // What `docker commit` writes is what ran in the container.
    ['bash', false],
    ['/bin/bash', false],
    ['/usr/sbin/sshd -D', false],
    ['runner --config x', false],
  ])('"%s" says what made a layer: %s', (line, says) => {
    const [, above] = layerHistory(manifest(2), config(['ADD a', line]));
    expect(above !== undefined).toBe(says);
  });
});

describe("hints in an image's own words", () => {
  it.each([
    ['ADD alpine-minirootfs-3.22.2-x86_64.tar.gz / # buildkit', 'musl'],
    ['RUN /bin/sh -c apk --no-cache add nginx', 'musl'],
    ["# debian.sh --arch 'amd64' out/ 'trixie'", 'glibc'],
    ['RUN apt-get install -y curl', 'glibc'],
    ['RUN microdnf install -y curl', 'glibc'],
    ['BusyBox 1.37.0 (uclibc), Buildroot 2025.05', 'other'],
    ['BusyBox 1.37.0 (musl), Alpine 3.22', 'musl'],
    ['apko', undefined],
    ['COPY a b', undefined],
  ])('%s: %s', (line, libc) => {
    expect(agreedHint(hintsOf(manifest(1), config([line])))?.libc).toBe(libc);
  });

  it('labels and annotations count after history, and contradictions cancel out', () => {
    const name = 'org.opencontainers.image.base.name';
    const labelled = config([], { [name]: 'docker.io/library/debian:trixie-slim' });
    expect(agreedHint(hintsOf(manifest(1), labelled))).toMatchObject({ libc: 'glibc', source: 'label' });
    const annotated = hintsOf(manifest(1, { [name]: 'alpine:3' }), config(['RUN apt-get update']));
    expect(annotated.map(({ source }) => source)).toEqual(['history', 'label']);
    expect(agreedHint(annotated)).toBeUndefined();
  });

  it.each([
    ['RUN apk add gcompat', 'shim'],
    ['RUN apk add libc6-compat', 'shim'],
    ['RUN wget https://example.com/glibc-2.35-r1.apk', 'glibc'],
    ['RUN apk add nginx', undefined],
  ])('%s installs %s', (line, expected) => {
    expect(glibcOnMusl(config([line]))).toBe(expected);
  });

  // Time that grew with the square would be hours.
  it('lines without end are read to their end', () => {
    const lines = [' in '.repeat(200_000), `COPY ${'a '.repeat(200_000)}`, `apk ${'--a '.repeat(100_000)}`];
    for (const line of lines) {
      expect(hintsOf(manifest(1), config([line]))).toEqual(hintsOf(manifest(1), config(['RUN x'])));
      const [short] = layerHistory(manifest(1), config([`/bin/sh -c #(nop) COPY ${line}`]));
      layerLikelihood(short, size, paths, false);
      mayReplace(short, paths);
    }
  });
});

describe('what a RUN line fetches', () => {
  it.each([
    ['RUN curl -fsSLo /usr/sbin/cron https://example.org/cron', true],
    ['RUN wget https://example.org/cron.deb && dpkg -i cron.deb', true],
    ['RUN go build -o /usr/sbin/cron ./cron', true],
    ['RUN wget https://example.org/cron.tar.gz && tar xf cron.tar.gz && make install-cron', false],
    ['RUN apt-get install -y curl cron', false],
    ['/bin/sh -c set -eux; curl -fsSLo /usr/sbin/cron https://example.org/cron', true],
    ['RUN curl -fsSLo /usr/bin/other https://example.org/other', false],
    [undefined, false],
  ])('%s: %s', (line, expected) => {
    expect(fetchesProgram(line === undefined ? undefined : historyLine(line), ['usr/sbin/cron', 'usr/bin/cron'])).toBe(
      expected,
    );
  });
});

describe("when the base's C library may stand in for a program out of reach", () => {
  const plain = { paths: ['usr/sbin/nginx'], copiedIn: false, twoLibcs: false };
  it.each([
    ['one that distributions link to their own', {}, true],
    ['one looked for in PATH', { paths: ['usr/local/bin/bash', 'usr/bin/bash'] }, true],
    ['one with its version', { paths: ['usr/bin/python3.13'] }, true],
    ['one built in the image', { paths: ['usr/local/bin/node'] }, true],
    ['one that was copied in', { copiedIn: true }, false],
    ['one whose name says nothing', { paths: ['usr/bin/zed'] }, false],
    ['a Go program that distributions have', { paths: ['usr/bin/prometheus-node-exporter'] }, false],
    ['any, where glibc and musl are installed', { twoLibcs: true, paths: ['bin/sh'] }, false],
    ['none', { paths: [] }, false],
  ])('%s: %s', (_name, changes, expected) => {
    expect(baseLibcApplies({ ...plain, ...changes })).toBe(expected);
  });
});
