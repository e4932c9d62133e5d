/** The last lines of `npm start`: how to go on. */
console.log(`
The example is built: runs in consolidated_data/runs/, the reference and its FAISS index in data/reference/.
Type npm start again: nothing is rebuilt. Then put a FASTA file into sequences/<dataset>/ and watch what follows.
Your own runs: npm link once here, then firn init and firn build in their folder. docs/guide.md goes on from here.`);
