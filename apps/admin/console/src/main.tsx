import { render } from 'preact';
import { App } from './app.tsx';
import { applyTheme } from './shell/theme.ts';
import './style.css';

applyTheme();
const root = document.querySelector('#console');
if (root) render(<App />, root);
