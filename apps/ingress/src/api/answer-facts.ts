import type { AnswerFacts } from '@millrace/formats/client-port';
import type { RequestMeta } from '@millrace/shared/domain/request';

/** What an answer's encoder needs of its request. */
export const factsOfAnswer = ({
  id,
  model,
  createdAt,
  echo,
}: Pick<RequestMeta, 'id' | 'model' | 'createdAt' | 'echo'>): AnswerFacts => ({
  id,
  model,
  createdAt,
  echo,
});
