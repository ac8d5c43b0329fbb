transmla compare sample ./sample-mla --max-tokens 999 --json > loss.json
node -p 'JSON.parse(fs.readFileSync("loss.json")).meanKl < 0.5'
