/** The archives of a release. */
interface Release {
  /** `0.1.0` */
  readonly version: string;
  readonly archives: readonly Archive[];
}

interface Archive {
  readonly file: string;
  readonly sha256: string;
  /** `linux` or `darwin`, as Go and krew name it. */
  readonly os: string;
  /** `amd64` or `arm64`. */
  readonly arch: string;
}

const REPOSITORY = 'https://github.com/libc-dns/libc-dns-webhook';
const DESCRIPTION = 'Finds the libc in container images, and the DNS options that it obeys';

const address = ({ version }: Release, { file }: Archive): string =>
  `${REPOSITORY}/releases/download/v${version}/${file}`;

/** Reads SHA256SUMS. Throws if a line names no archive of an executable. */
export function readChecksums(text: string): readonly Archive[] {
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [, sha256, file, os, cpu] =
        /^([0-9a-f]{64}) {2}(libc-dns-.+-(linux|darwin)-(x64|arm64)\.tar\.gz)$/.exec(line) ?? [];
      if (sha256 === undefined || file === undefined || os === undefined || cpu === undefined) {
        throw new Error(`SHA256SUMS: ${line}: expected a hash and libc-dns-VERSION-PLATFORM.tar.gz`);
      }
      return { file, sha256, os, arch: cpu === 'x64' ? 'amd64' : cpu };
    });
}

/** Returns the plugin manifest for `kubectl krew install` (https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/). */
export function krewManifest(release: Release): string {
  const platforms = release.archives.map(
    (archive) => `  - selector:
      matchLabels:
        os: ${archive.os}
        arch: ${archive.arch}
    uri: ${address(release, archive)}
    sha256: "${archive.sha256}"
    bin: libc-dns
`,
  );
  return `apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: libc-dns
spec:
  version: v${release.version}
  homepage: ${REPOSITORY}
  shortDescription: ${DESCRIPTION}
  description: |
    Tells which Pods of a cluster can be hit by the 5 second DNS timeouts that
    conntrack causes, and which DNS options help each of them: glibc, musl
    (Alpine) and Go read resolv.conf differently.

      kubectl libc-dns doctor --check fault   can the fault happen here?
      kubectl libc-dns audit                  which Pods can it hit?
      kubectl libc-dns detect alpine:3.22     what is in an image?
  platforms:
${platforms.join('')}`;
}

/** Returns the formula for `brew install` (https://docs.brew.sh/Formula-Cookbook). Throws if an archive is missing. */
export function homebrewFormula(release: Release): string {
  const source = (os: string, arch: string): string => {
    const archive = release.archives.find((one) => one.os === os && one.arch === arch);
    if (archive === undefined) throw new Error(`no archive for ${os} ${arch}`);
    return `      url "${address(release, archive)}"
      sha256 "${archive.sha256}"`;
  };
  const on = (os: string, name: string): string => `  on_${name} do
    on_arm do
${source(os, 'arm64')}
    end
    on_intel do
${source(os, 'amd64')}
    end
  end
`;
  return `class LibcDns < Formula
  desc "${DESCRIPTION}"
  homepage "${REPOSITORY}"
  version "${release.version}"
  license "Apache-2.0"

${on('darwin', 'macos')}
${on('linux', 'linux')}
  def install
    bin.install "libc-dns"
    generate_completions_from_executable(bin/"libc-dns", "completion")
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/libc-dns --version")
  end
end
`;
}
