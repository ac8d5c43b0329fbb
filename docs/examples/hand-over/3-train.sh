# needs: python -c "import torch, transformers"
for i in $(seq 400); do echo "A line of your own text, number $i."; done > book.txt
# #region train
python continue_training.py ./mla ./mla-trained --text book.txt --steps 20
# #endregion train
