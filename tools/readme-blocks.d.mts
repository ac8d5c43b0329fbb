export function blocksOf(page: string, language: string): string[];
export function readmeExamplesOf(readme: string): string[];
