import { expect, it } from 'vitest';
import { mend } from './portkey.ts';

const source = 'return a?new Response(p,{...e}):new Response(p,e)}const Ad=(e,t)=>e';

it('the one broken expression is replaced, and nothing else', () => {
  expect(mend(source)).toBe(
    'return a?new Response(p,{...e}):new Response(p,{status:e.status,headers:new Headers(e.headers)})}const Ad=(e,t)=>e',
  );
});

it('a package where it does not stand, or stands twice, is refused', () => {
  expect(() => mend('something else')).toThrow(/stands 0 times/);
  expect(() => mend(source + source)).toThrow(/stands 2 times/);
});
