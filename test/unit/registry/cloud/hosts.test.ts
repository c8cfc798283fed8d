import { describe, expect, it } from 'vitest';

import { cloudRegistry } from '../../../../src/registry/cloud/hosts.ts';

const aws = (region: string, fips = false) => ({ cloud: 'aws', region, fips });

describe("a cloud's registry", () => {
  it.each([
    ['123456789012.dkr.ecr.eu-central-1.amazonaws.com', aws('eu-central-1')],
    ['123456789012.dkr.ecr.us-gov-west-1.amazonaws.com', aws('us-gov-west-1')],
    ['123456789012.dkr.ecr-fips.us-east-1.amazonaws.com', aws('us-east-1', true)],
    ['123456789012.dkr-ecr.us-west-2.on.aws', aws('us-west-2')],
    ['123456789012.dkr-ecr-fips.us-west-2.on.aws', aws('us-west-2', true)],
    ['123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn', aws('cn-north-1')],
    ['123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn', aws('cn-north-1')],
    ['123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu', aws('eusc-de-east-1')],
    ['123456789012.dkr.ecr.eu-central-1.amazonaws.com:443', aws('eu-central-1')],
    ['gcr.io', { cloud: 'google' }],
    ['eu.gcr.io', { cloud: 'google' }],
    ['europe-west3-docker.pkg.dev', { cloud: 'google' }],
    ['team.azurecr.io', { cloud: 'azure' }],
    ['team-a1b2c3.azurecr.io', { cloud: 'azure' }],
    ['team.azurecr.cn', { cloud: 'azure' }],
    ['team.azurecr.us', { cloud: 'azure' }],
  ])('%s', (host, expected) => {
    expect(cloudRegistry(host)).toEqual(expected);
  });

  it.each([
    '123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.example',
    '1234.dkr.ecr.us-east-1.amazonaws.com',
    '123456789012.dkr.ecr.us-east-1.amazonaws.com:8443',
    '123456789012.dkr.ecr.us-east-1.amazonaws.com.',
    '123456789012.dkr.ecr.us-east-1.amazonaws.com\n',
    '123456789012.dkr.ecr.us-east-1.amazonaws.com.cn',
    '123456789012.dkr.ecr.cn-north-1.amazonaws.com',
    '123456789012.dkr.ecr.us-east-1.evil.amazonaws.com',
    '123456789012.dkr.ecr.us-east-1@evil.example#.amazonaws.com',
    'evil-123456789012.dkr.ecr.us-east-1.amazonaws.com',
    'a.123456789012.dkr.ecr.us-east-1.amazonaws.com',
    '123456789012xdkr.ecr.us-east-1.amazonaws.com',
    '123456789012.dkr.ecr..amazonaws.com',
    '123456789012.dkr.ecr.localhost.amazonaws.com',
    'amazonaws.com',
    'public.ecr.aws',
    'gcr.io.evil.example',
    'evilgcr.io',
    'a.b.gcr.io',
    '.gcr.io',
    'gcr.io:5000',
    'pkg.dev',
    'a.b.pkg.dev',
    'evil-pkg.dev',
    'europe-docker.pkg.dev.evil.example',
    'azurecr.io',
    '.azurecr.io',
    'team.azurecr.io.evil.example',
    'evil.example/team.azurecr.io',
    'team.eastus.data.azurecr.io',
    'team.azurecr.com',
    'teamazurecr.io',
    'docker.io',
    'localhost:5000',
    '',
    'x'.repeat(100_000),
    `${'a-'.repeat(50_000)}.azurecr.io`,
  ])('is not %s', (host) => {
    expect(cloudRegistry(host)).toBeUndefined();
  });
});
