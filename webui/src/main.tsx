// Starts the web UI. Loaded by `index.html`.
import { createRoot } from 'react-dom/client';
import { App } from './app';
import './styles/base.css';
import './styles/parts.css';
import './styles/views.css';

const root = document.getElementById('root');
if (root) createRoot(root).render(<App />);
