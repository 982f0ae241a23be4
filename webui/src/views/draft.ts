// The job file being written, kept until the tab is closed. Called by `submit.tsx`, and by what
// opens a job's file in the editor again.

export type Language = 'yaml' | 'sql';

const TEXT = 'weir.draft';
const LANGUAGE = 'weir.draft.language';

export function keepDraft(text: string, language: Language): void {
  sessionStorage.setItem(TEXT, text);
  sessionStorage.setItem(LANGUAGE, language);
}

export function draft(): { text: string; language: Language } | null {
  const text = sessionStorage.getItem(TEXT);
  return text ? { text, language: sessionStorage.getItem(LANGUAGE) === 'sql' ? 'sql' : 'yaml' } : null;
}

export function forgetDraft(): void {
  sessionStorage.removeItem(TEXT);
  sessionStorage.removeItem(LANGUAGE);
}
