import { join, relative } from 'node:path';
import { defineConfig } from 'vitepress';

import { addressOf, PAGES, REPOSITORY, sitePath, slugify } from '../addresses.ts';
import { entries, SIDEBAR } from '../sidebar.ts';

interface Token {
  readonly type: string;
  readonly children: readonly Token[] | null;
  attrGet: (name: string) => string | null;
  attrSet: (name: string, value: string) => void;
}

export default defineConfig({
  title: 'libc-dns-webhook',
  description: 'Gives each Pod of a Kubernetes cluster the DNS settings that the resolver in its image obeys',
  lang: 'en',
  base: process.env['SITE_BASE'] ?? '/',
  srcDir: 'pages',
  outDir: join(import.meta.dirname, '../../dist/site'),
  cleanUrls: true,
  rewrites: sitePath,
  markdown: {
    anchor: { slugify },
    config(markdown) {
      markdown.core.ruler.push('addresses', ({ tokens, env }: { tokens: readonly Token[]; env: { path?: string } }) => {
        const page = relative(PAGES, env.path ?? '');
        for (const token of tokens.flatMap(({ children }) => children ?? [])) {
          const link = token.type === 'link_open' ? token.attrGet('href') : null;
          if (link !== null) token.attrSet('href', addressOf(page, link));
        }
      });
    },
  },
  themeConfig: {
    nav: entries({
      'Do I need it?': '/#do-i-need-this',
      Install: '/docs/install',
      Runbook: '/docs/runbook',
      Questions: '/docs/faq',
    }),
    sidebar: SIDEBAR.map(({ text, items }) => ({ text, items: [...items] })),
    outline: 'deep',
    search: { provider: 'local' },
    socialLinks: [{ icon: 'github', link: REPOSITORY }],
  },
});
