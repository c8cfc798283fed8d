import type { DetectionFailure } from '../detection/detector.ts';

const hostOf = (image: string): string => {
  const [first = ''] = image.split('/', 1);
  const isHost = image.includes('/') && (/[.:]/.test(first) || first === 'localhost');
  return isHost ? first : 'docker.io';
};

/** What to grant or to set so that an image can be read, by why it could not. */
export function grantFor(code: DetectionFailure, image: string): string {
  const host = hostOf(image);
  const declare = 'or say it: annotation libc-dns.dev/libc on the Pods, or an ImageLibc';
  const grants: Readonly<Record<DetectionFailure, string>> = {
    unauthorized: `Log in (docker login ${host}) before the audit; give the webhook detection.registry.dockerConfig, pullSecrets or identities; ${declare}.`,
    'forbidden-host': `Allow ${host}: detection.registry.allow, deny, insecure and allowPrivateAddresses; ${declare}.`,
    'not-found': `The image is no longer in ${host}: Pods run only where it was pulled before. Push it again, ${declare}.`,
    'no-platform': `Nothing for this platform is in the image: set --platform (detection.platform) to that of the nodes.`,
    'not-an-image': `It is no container image that can be read; ${declare}.`,
    'invalid-reference': 'Correct the reference: it is no image name.',
    'rate-limited': `${host} limits requests: log in (docker login ${host}), set detection.registry.mirrors, or try again later.`,
    unavailable: `Make ${host} reachable from here (network, proxy, detection.registry.caFile, insecure); ${declare}.`,
    'invalid-answer': `${host} answers what is no valid image: look at the registry, or a proxy before it; ${declare}.`,
    deadline: `Try again: the look-up took too long; ${declare}.`,
    shed: 'Try again: too many look-ups were under way.',
    disabled: `Leave --offline out, or set detection.registry.enabled: true; ${declare}.`,
    internal: 'Please report this as a defect, with the message.',
  };
  return grants[code];
}
