import type { Line, OpenAiError } from '@millrace/shared/domain/entry';
import type { StreamEncoder, StreamOptions } from '../port.ts';

/** An OpenAI stream: no event names, and entry ids only for a client that asked for them. */
export const encodeStream = ({ includeUsage, withIds }: Omit<StreamOptions, 'answer'>) =>
  ({
    chunk(line) {
      if (line.text[0] === 'u' && !includeUsage) return '';
      return withIds ? `id: ${line.run}-${line.seq}\n${dataOf(line)}` : dataOf(line);
    },
    end: () => 'data: [DONE]\n\n',
    error: (error: OpenAiError) => `data: ${JSON.stringify({ error })}\n\n`,
  }) satisfies StreamEncoder;

const dataOf = ({ text }: Line): string => `data: ${text.slice(1)}\n\n`;
