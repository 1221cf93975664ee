// Anomaly scores in words, colours and shapes.

/** Levels by the smallest score of each, the highest first. Right forecasts give uniformly distributed scores. */
export const LEVELS = [
  { least: 0.99, name: "anomaly", text: "anomaly: as far off once in 100 rows", colour: "--bad", symbol: "x", mark: "✕", size: 9 },
  { least: 0.95, name: "unusual", text: "unusual: as far off once in 20 rows", colour: "--warn", symbol: "triangle-up", mark: "▲", size: 8 },
  { least: 0, name: "as expected", text: "as expected", colour: "--quiet", symbol: null, mark: "│", size: 0 },
];

export const levelOf = (score) => LEVELS.find(({ least }) => score >= least);
